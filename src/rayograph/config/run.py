"""Where a run lives."""

from pydantic import Field

from rayograph.config.base import Options, Place


class RunOptions(Options):
    """Where a run lives; its name is its identity."""

    storage: Place = Field("runs", min_length=1, validate_default=True)
    """folder of runs; each run gets a folder in it [URI]"""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """an unfinished run of this name is resumed, a finished one is refused [name]"""

    start_from: Place | None = None
    """checkpoint of another run to start from, with its epochs and optimizer; null: none [URI]"""

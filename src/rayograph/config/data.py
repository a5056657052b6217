"""What a run reads: a packed dataset, or phantom films made for it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rayograph import storage
from rayograph.config.base import Options
from rayograph.errors import UserError


def _dataset(uri: str) -> str:
    return uri if uri == "phantom" else storage.absolute(uri)


def _folder(path: str) -> str:
    place = storage.absolute(path)
    if not storage.is_local(place):
        raise UserError(f"data.cache={path}: must be a folder on a node's own disk")
    return place


class DataOptions(Options):
    """Which packed dataset a run reads, and at what size the model sees it."""

    uri: Annotated[str, AfterValidator(_dataset)] = "phantom"
    """packed dataset; `phantom` makes one in the run's storage [URI]"""

    fold: int | None = Field(None, ge=0, le=19)
    """of a dataset packed in folds, the one for validation; the others are for training [fold]"""

    image_size: int = Field(128, ge=16, le=2048)
    """side of what the model sees (films) [pixels]"""

    normalize: Literal["dataset", "film"] = "dataset"
    """gray levels standardised by the training films' mean and deviation, or by each film's own,
    which helps where other devices make darker or flatter films [name]"""

    cache: Annotated[str, AfterValidator(_folder)] | None = None
    """folder on each node's own disk that keeps what was read; null: none, since films of patients
    are not left on disks unasked [path]"""

    cache_bytes: int = Field(50_000_000_000, ge=1_000_000)
    """size limit of that folder; the least recently used is deleted first [bytes]"""


class PhantomOptions(Options):
    """Procedural films, for demos and tests without a network or a patient."""

    films: int = Field(640, ge=16, le=1_000_000)
    """how many [films]"""

    seed: int = Field(0, ge=0)
    """which ones [seed]"""

    size: int = Field(128, ge=32, le=2048)
    """side of a film [pixels]"""

"""A checkpoint in storage: its name, its files, and what its progress says.

Three files: `model.safetensors` (weights, and a header that makes them usable alone), `state.pt`
(the optimizer), `progress.json` (position, history, versions), which is written last and makes the
others valid.
"""

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rayograph import storage
from rayograph.errors import Failure, UserError, one_line
from rayograph.runs import history
from rayograph.runs.card import MODEL

STATE, PROGRESS = "state.pt", "progress.json"
FILES = (MODEL, STATE, PROGRESS)
CHECKPOINT = re.compile(r"checkpoint_(\d{4,})_[0-9a-f]{8}")
SNAPSHOT = re.compile(r"snapshot_(\d{4,})_(\d{6,})_[0-9a-f]{8}")  # inside an epoch
PACKAGES = ("torch", "torchvision", "numpy", "ray")  # that results depend on


class Sums(BaseModel, strict=True, extra="forbid"):
    """What the epoch under way has come to, over all workers: loss and correct of its films.

    `digest` says which films they were; `skipped` counts steps whose loss was not finite.
    """

    loss: float = 0.0
    correct: float = 0.0
    films: Annotated[int, Field(ge=0, le=2**53)] = 0
    digest: Annotated[int, Field(ge=0, lt=2**32)] = 0
    skipped: Annotated[int, Field(ge=0, le=2**31)] = 0


class Progress(BaseModel, strict=True, frozen=True):
    """What a start needs of `progress.json`; `epoch` and `step` are those to be done next."""

    epoch: Annotated[int, Field(ge=0, le=history.MOST_EPOCHS)]
    step: Annotated[int, Field(ge=0, le=2**31)]
    sums: Sums
    fingerprint: str
    history: list[dict[str, Any]]

    @classmethod
    def read(cls, uri: str) -> "Progress":
        """That of the checkpoint at `uri`; `Failure` where it is damaged."""
        place = storage.join(uri, PROGRESS)
        data = storage.read(place)
        try:
            found = cls.model_validate_json(data)
            history.check(found.history)
        except (ValueError, RecursionError) as error:
            raise Failure(f"{place}: is damaged: {one_line(error)}") from None
        return found

    @classmethod
    def of(cls, uri: str, fingerprint: str) -> "Progress":
        """The same, of a checkpoint of a dataset; `UserError` where it is of another one."""
        found = cls.read(uri)
        if found.fingerprint != fingerprint:
            raise UserError(
                f"{uri}: was trained on another dataset ({found.fingerprint[:12]}, not "
                f"{fingerprint[:12]}); give the run another run.name"
            )
        return found


def upload(files: Path, uri: str) -> None:
    """Put a written checkpoint at `uri`, the file that makes it valid last."""
    for name in FILES:
        storage.upload(storage.join(uri, name), files / name)


def delete(uri: str) -> None:
    """Delete a checkpoint, first the file without which the others are none."""
    storage.delete([storage.join(uri, name) for name in reversed(FILES)])


def snapshot_name(epoch: int, step: int, attempt: str) -> str:
    """The name of a checkpoint inside an epoch: after `epoch` whole ones, and so many steps."""
    return f"snapshot_{epoch:04}_{step:06}_{attempt}"


def checkpoint_name(epoch: int, attempt: str) -> str:
    """A name that no other start of the run uses: a crash may leave an orphan of the same epoch."""
    return f"checkpoint_{epoch:04}_{attempt}"


def epoch_of(name: str) -> int:
    """The epoch in a checkpoint's name; 0 of another name."""
    match = CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else 0


def versions() -> dict[str, str]:
    """The versions that results depend on."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}

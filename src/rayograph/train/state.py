"""What a checkpoint holds, and how a run goes on from it.

A checkpoint is three files: `model.safetensors` (weights, and a header that makes them usable
alone), `state.pt` (the optimizer, read with `weights_only`), `progress.json` (position, history,
versions), which is written last and makes the other two valid. The schedule has no state of its
own: the position says where it is.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.errors import Failure, UserError, one_line
from rayograph.models import card as cards
from rayograph.models import weights
from rayograph.models.card import ModelCard
from rayograph.train import history, optim

MODEL = cards.MODEL
STATE, PROGRESS = "state.pt", "progress.json"
FILES = (MODEL, STATE, PROGRESS)


@dataclass
class Sums:
    """What the epoch under way has come to, over all workers: loss and correct of its films."""

    loss: float = 0.0
    correct: float = 0.0
    films: int = 0
    digest: int = 0  # of which films they were
    skipped: int = 0  # steps whose loss was no number


@dataclass
class State:
    """Everything that training changes. `epoch` and `step` are those to be done next."""

    model: nn.Module
    optimizer: Optimizer
    schedule: LambdaLR
    fingerprint: str
    config: RunConfig
    epoch: int = 0
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    history: list[dict[str, Any]] = field(default_factory=list)

    def saved(self, card: ModelCard) -> "Saved":
        """A copy of all this in main memory, as training goes on changing it."""
        progress = {
            "epoch": self.epoch,
            "step": self.step,
            "sums": vars(self.sums),
            "fingerprint": self.fingerprint,
            "history": self.history,
            "best": history.best(self.history, self.config.train.select),
            "config": self.config.model_dump(mode="json"),
            "versions": versions(),
        }
        return Saved(
            _copied(self.model.state_dict()),
            _copied(self.optimizer.state_dict()),
            json.dumps(progress, indent=1),
            card,
        )

    def load(self, uri: str, steps: int) -> None:
        """Go on from the checkpoint at `uri`; `steps` is the number of them in an epoch.

        Raises `UserError` where the checkpoint is of another dataset or another model.
        """
        progress = read_progress(uri)
        if progress["fingerprint"] != self.fingerprint:
            raise UserError(
                f"{uri}: was trained on another dataset ({progress['fingerprint'][:12]}, not "
                f"{self.fingerprint[:12]}); give the run another run.name"
            )
        self.epoch, self.step = progress["epoch"], progress["step"]
        self.sums = Sums(**progress["sums"])
        self.history = progress["history"]
        self.load_weights(uri, steps)

    def load_weights(self, uri: str, steps: int) -> None:
        """Take weights and moments from the checkpoint at `uri`, and stay where the run is."""
        place = storage.join(uri, MODEL)
        _, tensors = cards.from_bytes(storage.fetch(place), place)
        try:
            self.model.load_state_dict(tensors)
        except RuntimeError:
            raise UserError(f"{uri}: is of another model; keep the model.* it had") from None
        place = storage.join(uri, STATE)
        states = weights.plain(storage.fetch(place), place)
        try:
            optim.load(
                self.optimizer, self.schedule, states["optimizer"], steps * self.epoch + self.step
            )
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(f"{place}: not the optimizer of this run: {one_line(error)}") from None


class _Progress(BaseModel, strict=True):
    """What a start needs of `progress.json`."""

    epoch: Annotated[int, Field(ge=0, le=history.MOST_EPOCHS)]
    step: Annotated[int, Field(ge=0, le=2**31)]
    sums: "_Sums"
    fingerprint: str
    history: list[dict[str, Any]]


class _Sums(BaseModel, strict=True, extra="forbid"):
    """A checkpoint's `Sums`."""

    loss: float
    correct: float
    films: Annotated[int, Field(ge=0, le=2**53)]
    digest: Annotated[int, Field(ge=0, lt=2**32)]
    skipped: Annotated[int, Field(ge=0, le=2**31)]


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds, apart from the model and the optimizer that go on."""

    model: dict[str, Any]
    optimizer: dict[str, Any]
    progress: str
    card: ModelCard

    def write(self, folder: Path) -> None:
        """Write the three files of a checkpoint; `Failure` where the disk cannot hold them."""
        try:
            (folder / MODEL).write_bytes(cards.to_bytes(self.model, self.card))
            torch.save({"optimizer": self.optimizer}, folder / STATE)
            (folder / PROGRESS).write_text(self.progress)
        except (OSError, RuntimeError) as error:  # torch's own, where a disk is full
            raise Failure(
                f"{folder}: cannot hold a checkpoint: {one_line(error)}; "
                "make room there, or set TMPDIR"
            ) from error


def _copied(value: Any) -> Any:
    """A nested state with each tensor copied into main memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def read_progress(uri: str) -> Mapping[str, Any]:
    """The `progress.json` of the checkpoint at `uri`; `Failure` where it is damaged."""
    place = storage.join(uri, PROGRESS)
    data = storage.read(place)
    try:
        _Progress.model_validate_json(data)
        progress: Mapping[str, Any] = json.loads(data)
        history.check(progress["history"])
    except (ValueError, RecursionError) as error:
        raise Failure(f"{place}: is damaged: {one_line(error)}") from None
    return progress


def versions() -> dict[str, str]:
    """The versions that results depend on."""
    import numpy
    import torchvision

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
    }

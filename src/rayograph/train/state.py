"""Everything that training changes, written to a checkpoint and read back.

What a checkpoint is: `runs.checkpoint`. The schedule has no state of its own: the position says
where it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.errors import Failure, UserError, one_line
from rayograph.models import files, weights
from rayograph.runs import history
from rayograph.runs.card import MODEL, ModelCard
from rayograph.runs.checkpoint import PROGRESS, STATE, Progress, Sums, versions
from rayograph.train import optim

MISFITS = (ValueError, LookupError, TypeError, AttributeError, RuntimeError)  # of what was read


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

    def payload(
        self, card: ModelCard, beside: Mapping[str, torch.Tensor] | None = None
    ) -> "CheckpointPayload":
        """A copy of all this in main memory, as training goes on changing it.

        The tensors `beside` are written beside the model's own.
        """
        progress = {
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums.model_dump(),
            "fingerprint": self.fingerprint,
            "history": self.history,
            "best": history.best(self.history, self.config.train.leader),
            "config": self.config.model_dump(mode="json"),
            "versions": versions(),
        }
        return CheckpointPayload(
            _copied({**self.model.state_dict(), **(beside or {})}),
            _copied({"optimizer": self.optimizer.state_dict()}),
            json.dumps(progress, indent=1),
            card,
        )

    def load(self, uri: str, steps: int) -> None:
        """Go on from the checkpoint at `uri`; `steps` is the number of them in an epoch.

        Raises `UserError` where the checkpoint is of another dataset or another model.
        """
        progress = Progress.of(uri, self.fingerprint)
        self.epoch, self.step, self.sums = progress.epoch, progress.step, progress.sums
        self.history = progress.history
        self.load_weights(uri, steps)

    def load_weights(self, uri: str, steps: int) -> None:
        """Take weights and moments from the checkpoint at `uri`, and stay where the run is."""
        place = storage.join(uri, MODEL)
        tensors, _ = files.parted(files.read(storage.fetch(place), place)[1])
        place = storage.join(uri, STATE)
        states = weights.plain(storage.fetch(place), place)
        try:
            self.model.load_state_dict(tensors)
        except MISFITS:
            raise UserError(f"{uri}: is of another model; keep the model.* it had") from None
        try:
            optim.load(
                self.optimizer, self.schedule, states["optimizer"], steps * self.epoch + self.step
            )
        except MISFITS as error:
            raise UserError(f"{place}: not the optimizer of this run: {one_line(error)}") from None


@dataclass(frozen=True)
class CheckpointPayload:
    """What a checkpoint holds, apart from the model and the optimizer that go on.

    `behind` is what `state.pt` holds.
    """

    model: dict[str, Any]
    behind: dict[str, Any]
    progress: str
    card: ModelCard

    @cached_property
    def file(self) -> bytes:
        """The model's file; made once, as its metadata come in another order another time."""
        return files.write(self.model, self.card.metadata())

    def write(self, folder: Path) -> None:
        """Write the three files of a checkpoint; `Failure` where the disk cannot hold them."""
        try:
            (folder / MODEL).write_bytes(self.file)
            torch.save(self.behind, folder / STATE)
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

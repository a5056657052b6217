"""What a checkpoint holds, and how a run goes on from it.

A checkpoint is three files: `model.safetensors` (weights, and a header that makes them usable
alone), `state.pt` (the optimizer, read with `weights_only`), `progress.json` (position, history,
versions), which is written last and makes the other two valid. The schedule has no state of its
own: the position says where it is.
"""

import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rayograph import storage
from rayograph.config import Config
from rayograph.errors import UserError
from rayograph.models import card as cards
from rayograph.models.card import ModelCard
from rayograph.train import history, optim

MODEL = cards.MODEL
STATE, PROGRESS = "state.pt", "progress.json"
FILES = (MODEL, STATE, PROGRESS)


@dataclass
class State:
    """Everything that training changes. `epoch` and `step` are those to be done next."""

    model: nn.Module
    optimizer: Optimizer
    schedule: LambdaLR
    fingerprint: str
    config: Config
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path, card: ModelCard) -> None:
        """Write the three files of a checkpoint."""
        (folder / MODEL).write_bytes(cards.to_bytes(self.model.state_dict(), card))
        torch.save({"optimizer": self.optimizer.state_dict()}, folder / STATE)
        progress = {
            "epoch": self.epoch,
            "step": self.step,
            "fingerprint": self.fingerprint,
            "history": self.history,
            "best": history.best(self.history, self.config.train.select),
            "config": self.config.model_dump(mode="json"),
            "versions": versions(),
        }
        (folder / PROGRESS).write_text(json.dumps(progress, indent=1))

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
        place = storage.join(uri, MODEL)
        _, tensors = cards.from_bytes(storage.fetch(place), place)
        try:
            self.model.load_state_dict(tensors)
        except RuntimeError:
            raise UserError(f"{uri}: is of another model; keep the model.* it had") from None
        data = io.BytesIO(storage.fetch(storage.join(uri, STATE)))
        states = torch.load(data, map_location="cpu", weights_only=True)
        self.epoch, self.step = progress["epoch"], progress["step"]
        self.history = progress["history"]
        optim.load(
            self.optimizer, self.schedule, states["optimizer"], steps * self.epoch + self.step
        )


def read_progress(uri: str) -> Mapping[str, Any]:
    """The `progress.json` of the checkpoint at `uri`."""
    progress: Mapping[str, Any] = json.loads(storage.read(storage.join(uri, PROGRESS)))
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

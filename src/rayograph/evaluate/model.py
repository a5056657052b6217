"""A model file, ready to judge with."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rayograph import storage
from rayograph import task as tasks
from rayograph.data import transforms
from rayograph.data.transforms import Transform
from rayograph.evaluate.inference import over_views
from rayograph.evaluate.unlike.bank import LastLayer, Unlike
from rayograph.models import files
from rayograph.models.build import restored
from rayograph.runs import card as cards
from rayograph.runs.card import ModelCard
from rayograph.task import Task
from rayograph.task.calibration import calibrated


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, with all that its card says how to use it."""

    network: nn.Module
    card: ModelCard
    task: Task
    transform: Transform
    digest: str  # sha256 of the file
    unlike: Unlike | None  # None where the model was not validated

    def said(self, samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Its logits float32 [n, k] of packed samples [n, …], over its temperature."""
        device = next(self.network.parameters()).device
        logits = over_views(self.network, self.transform, torch.from_numpy(samples).to(device))
        return calibrated(logits.cpu().numpy(), self.card.temperature)


def load(uri: str, device: torch.device) -> LoadedModel:
    """The model of a file written by training; `UserError` where it is none."""
    return parse(storage.fetch(uri), uri, device)


def parse(data: bytes, uri: str, device: torch.device) -> LoadedModel:
    """The same of the file's bytes, which lay at `uri`."""
    metadata, tensors = files.read(data, uri)
    card = cards.parse(metadata, uri)
    task = tasks.of(card.task, card.classes)
    tensors, beside = files.parted(tensors)
    network = restored(card.model, card.transform.shape, task.outputs, tensors, uri)
    transform = transforms.build(card.transform)
    digest = hashlib.sha256(data).hexdigest()
    unlike = None
    if card.unlike:
        width = LastLayer(network, card.model.name).width
        unlike = Unlike.read(beside, card.unlike, width, uri)
    return LoadedModel(network.eval().to(device), card, task, transform, digest, unlike)

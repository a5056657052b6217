"""What training minimises, for each task: a loss a sample, and whether it was judged right."""

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(Protocol):
    """Of logits [n, k] and labels int8 [n, k]."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The unweighted loss of each sample [n], in nats."""

    def weights(self, labels: Tensor) -> Tensor | None:
        """What each sample's loss [n] counts in the gradient; None if all count the same."""

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """1 for each sample [n] that was judged right, else 0."""


class CrossEntropy:
    """Of exactly one class a sample; `class_weights` [k]."""

    def __init__(self, class_weights: Tensor | None) -> None:
        self._class_weights = class_weights

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(logits, labels.argmax(1), reduction="none")

    def weights(self, labels: Tensor) -> Tensor | None:
        """The weight of each sample's class."""
        return None if self._class_weights is None else self._class_weights[labels.argmax(1)]

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Whether the likeliest class is the true one."""
        return (logits.argmax(1) == labels.argmax(1)).to(logits.dtype)


def build(task: str, present: Mapping[str, int], balanced: bool, device: torch.device) -> Loss:
    """The loss of a task; `balanced` weights a class by its inverse frequency in training."""
    counts = torch.tensor(list(present.values()))
    weights = (counts.sum() / (len(counts) * counts)).to(device) if balanced else None
    return {"multiclass": CrossEntropy}[task](weights)

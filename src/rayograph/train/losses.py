"""What training minimises, for each task: a loss a sample, and whether it was judged right."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from rayograph.config import RunConfig
from rayograph.data.manifest import LabelCounts
from rayograph.task import ABSENT, PRESENT, UNCERTAIN

SMOOTH = 0.7  # the mean of what Pham et al. (arXiv:1911.06475) draw for an uncertain label: 0.55 to
# 0.85; the loss is linear in its target, so the expected gradient is the same


class Loss(Protocol):
    """Of logits [n, k] and labels int8 [n, k]."""

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each sample [n], in nats; and the same as it counts in the gradient [n]."""

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """How much of each sample [n] was judged right, 0 to 1."""


class CrossEntropy:
    """Of exactly one class a sample; `class_weights` [k] and `smoothing` for the gradient."""

    def __init__(self, class_weights: Tensor | None, smoothing: float = 0.0) -> None:
        self._class_weights = class_weights
        self._smoothing = smoothing

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy; smoothed, and weighted by the sample's class."""
        truth = labels.argmax(1)
        losses = aimed = F.cross_entropy(logits, truth, reduction="none")
        if self._smoothing:
            aimed = F.cross_entropy(
                logits, truth, reduction="none", label_smoothing=self._smoothing
            )
        if self._class_weights is None:
            return losses, aimed
        return losses, aimed * self._class_weights[truth]

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Whether the likeliest class is the true one."""
        return (logits.argmax(1) == labels.argmax(1)).to(logits.dtype)


class MaskedCrossEntropy:
    """Of k labels a sample, each by itself: the mean over its known labels, 0 where none is.

    An uncertain label is known as its `target`, or not known where that is None.
    In the gradient `positive_weights` [k] multiply the loss of what is present, and `smoothing`
    brings targets that much nearer to one half.
    """

    def __init__(
        self, target: float | None, positive_weights: Tensor | None, smoothing: float = 0.0
    ) -> None:
        self._target = target
        self._positive_weights = positive_weights
        self._smoothing = smoothing

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Binary cross-entropy; weighted where a label is present."""
        known, targets = labels >= ABSENT, (labels == PRESENT).to(logits.dtype)
        if self._target is not None:
            uncertain = labels == UNCERTAIN
            known, targets = known | uncertain, targets.masked_fill(uncertain, self._target)
        share = known / known.sum(1, keepdim=True).clamp(min=1)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self._positive_weights is None and not self._smoothing:
            weighted = losses
        else:
            if self._smoothing:
                targets = targets.lerp(torch.full_like(targets, 0.5), self._smoothing)
            weighted = F.binary_cross_entropy_with_logits(
                logits, targets, reduction="none", pos_weight=self._positive_weights
            )
        return (losses * share).sum(1), (weighted * share).sum(1)

    def correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The share of right decisions among the labels that are certain; 1 where none is."""
        known = labels >= ABSENT
        wrong = known & ((logits >= 0) != (labels == PRESENT))
        return 1 - wrong.sum(1) / known.sum(1).clamp(min=1)


Counts = Mapping[str, LabelCounts]
TARGETS = {"ignore": None, "positive": 1.0, "negative": 0.0, "smooth": SMOOTH}


def _multiclass(config: RunConfig, counts: Counts, device: torch.device) -> Loss:
    """`balanced` weights a class by its inverse frequency in training."""
    present = torch.tensor([each.present for each in counts.values()])
    balanced = config.train.class_weights == "balanced"
    weights = (present.sum() / (len(present) * present)).to(device) if balanced else None
    return CrossEntropy(weights, config.train.label_smoothing)


def _multilabel(config: RunConfig, counts: Counts, device: torch.device) -> Loss:
    """`balanced` weights what is present by absent / present, as if both were equally frequent."""
    weights = None
    if config.train.class_weights == "balanced":
        shares = [c.absent / c.present if c.absent else 1.0 for c in counts.values()]
        weights = torch.tensor(shares).to(device)
    target = TARGETS[config.labels.uncertain]
    return MaskedCrossEntropy(target, weights, config.train.label_smoothing)


BUILDERS: Mapping[str, Callable[[RunConfig, Counts, torch.device], Loss]] = {
    "multiclass": _multiclass, "multilabel": _multilabel,
}  # fmt: skip


def build(task: str, config: RunConfig, counts: Counts, device: torch.device) -> Loss:
    """The loss of a task; `counts` are the training split's, a label each."""
    return BUILDERS[task](config, counts, device)

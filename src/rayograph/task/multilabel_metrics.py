"""The metrics of k labels a sample: of each label, and their mean over the labels.

A label that is uncertain or missing in a sample takes no part in any of them. scikit-learn is the
reference for every value: tests/property/test_multilabel.py holds them equal.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rayograph.task.calibration import calibration_error
from rayograph.task.labels import ABSENT, PRESENT, Labels
from rayograph.task.metric import PERCENT, Floats, Metric
from rayograph.task.multiclass_metrics import areas, ratio


@dataclass(frozen=True)
class LabelPredictions:
    """Of n samples and k labels: truth, probabilities, losses and decisions, [n, k] each."""

    truth: Labels
    probabilities: Floats
    losses: Floats
    decisions: npt.NDArray[np.bool_]


class ResampledLabels:
    """Predictions under multiplicities [r, n]; what several metrics need is computed once."""

    def __init__(self, predictions: LabelPredictions, weights: Floats) -> None:
        truth = predictions.truth
        self.of, self.weights = predictions, weights
        self.positive = (truth == PRESENT).astype(np.float64)
        self.known = self.positive + (truth == ABSENT)
        self.right = self.known * (predictions.decisions == (truth == PRESENT))
        self.support, self.rest = weights @ self.positive, weights @ (self.known - self.positive)
        self.found = weights @ (self.positive * predictions.decisions)
        self.flagged = weights @ (self.known * predictions.decisions)

    @cached_property
    def areas(self) -> tuple[Floats, Floats]:
        """AUROC [r, k] and average precision [r, k]."""
        columns = zip(self.positive.T, self.of.probabilities.T, self.known.T, strict=True)
        found = [areas(truth, score, self.weights * known) for truth, score, known in columns]
        auroc, precision = np.reshape(found, (-1, 2, len(self.weights))).transpose(1, 2, 0)
        return auroc, precision

    def mean(self, by_sample: Floats, counted: Floats) -> Floats:
        """The mean [r] of a value a sample [n], over the samples that are counted [n]."""
        return ratio(self.weights @ by_sample, self.weights @ counted)


def defined_mean(by_label: Floats) -> Floats:
    """The mean [r] of [r, k] over the labels that are defined there; NaN where none is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows without any
        return np.asarray(np.nanmean(by_label, axis=1))


def _hamming(r: ResampledLabels) -> Floats:
    return r.mean(r.right.sum(axis=1), r.known.sum(axis=1))


def _exact(r: ResampledLabels) -> Floats:
    """Samples of which every known label is right, of those of which any is known."""
    known = r.known.sum(axis=1)
    return r.mean((known > 0) * (r.right.sum(axis=1) == known), (known > 0).astype(np.float64))


def _loss(r: ResampledLabels) -> Floats:
    """The mean over samples of the mean over their known labels; 0 of a sample without any."""
    losses = (r.of.losses * r.known).sum(axis=1) / np.maximum(r.known.sum(axis=1), 1)
    return r.mean(losses, np.ones(len(losses)))


def _brier(r: ResampledLabels) -> Floats:
    errors = np.square(r.of.probabilities - r.positive) * r.known
    return ratio(r.weights @ errors, r.weights @ r.known)


def _ece(r: ResampledLabels) -> Floats:
    columns = zip(r.positive.T, r.of.probabilities.T, r.known.T.astype(np.bool_), strict=True)
    found = [
        calibration_error(truth[known], score[known], r.weights[:, known])
        for truth, score, known in columns
    ]
    return np.stack(found, axis=1)


def _macro(by_label: Callable[[ResampledLabels], Floats]) -> Callable[[ResampledLabels], Floats]:
    return lambda r: defined_mean(by_label(r))


BY_LABEL: dict[str, Callable[[ResampledLabels], Floats]] = {
    "auroc": lambda r: r.areas[0],
    "average_precision": lambda r: r.areas[1],
    "sensitivity": lambda r: ratio(r.found, r.support),
    "specificity": lambda r: 1 - ratio(r.flagged - r.found, r.rest),
    "f1": lambda r: ratio(2 * r.found, np.where(r.support > 0, r.support + r.flagged, 0)),
    "brier": _brier,
    "ece": _ece,
}
PROPORTIONS: dict[str, int] = {"sensitivity": PRESENT, "specificity": ABSENT}  # of these samples
METRICS = (
    Metric("auroc", "AUROC", _macro(BY_LABEL["auroc"])),
    Metric("average_precision", "average precision", _macro(BY_LABEL["average_precision"])),
    Metric("sensitivity", "sensitivity", _macro(BY_LABEL["sensitivity"]), style=PERCENT),
    Metric("specificity", "specificity", _macro(BY_LABEL["specificity"]), style=PERCENT),
    Metric("f1", "F1", _macro(BY_LABEL["f1"])),
    Metric("hamming_accuracy", "Hamming accuracy", _hamming, style=PERCENT),
    Metric("exact_match", "exact match", _exact, style=PERCENT),
    Metric("brier", "Brier score", _macro(BY_LABEL["brier"]), better="lower"),
    Metric("ece", "calibration error", _macro(BY_LABEL["ece"]), better="lower", bounds=False),
    Metric("loss", "loss", _loss, better="lower", style="{:.4f}"),
)

"""The metrics of exactly one class a sample: pure functions of predictions, class 0 the negative.

scikit-learn is the reference for every value: tests/property/test_metrics.py holds them equal.
The arithmetic is here so that two thousand resamples share one sort, and a value and its interval
one code: scikit-learn 1.9 gives some perfect rankings an average precision of 1.0000000000000002.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rayograph.task.calibration import calibration_error
from rayograph.task.metric import PERCENT, Bools, Floats, Metric

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Of n samples and k classes: the truth [n], probabilities [n, k], losses [n], decisions [n].

    `called` [n] are the decisions by an operating point, if there is one.
    """

    truth: Integers
    probabilities: Floats
    losses: Floats
    decisions: Integers
    called: Integers | None = None


class Resampled:
    """Predictions under multiplicities [r, n]; what several metrics need is computed once.

    With two classes, class 1 is judged; with more, each against the rest, as far as it occurs with
    both values.
    """

    def __init__(self, predictions: Predictions, weights: Floats) -> None:
        n, k = predictions.probabilities.shape
        self.of, self.weights = predictions, weights
        self.counts = np.bincount(predictions.truth, minlength=k)
        both = np.flatnonzero((self.counts > 0) & (self.counts < n))
        self.classes = np.array([1]) if k == 2 else both
        self.total = weights.sum(axis=1, keepdims=True)
        self.hits = (predictions.truth[:, None] == self.classes).astype(np.float64)
        flags = (predictions.decisions[:, None] == self.classes).astype(np.float64)
        self.support, self.flagged = weights @ self.hits, weights @ flags
        self.found = weights @ (self.hits * flags)

    @cached_property
    def areas(self) -> tuple[Floats, Floats]:
        """AUROC and average precision of each judged class [r, classes]."""
        scores = self.of.probabilities.T[self.classes]
        pairs = zip(self.hits.T, scores, strict=True)
        found = [areas(truth, score, self.weights) for truth, score in pairs]
        auroc, precision = np.reshape(found, (-1, 2, len(self.weights))).transpose(1, 2, 0)
        return auroc, precision

    def macro(self, by_class: Floats) -> Floats:
        """The mean [r] of [r, classes]; NaN where a judged class is absent from a resample."""
        absent = np.where(self.support > 0, 0.0, np.nan)
        mean: Floats = (by_class + absent).sum(axis=1) / (len(self.classes) or np.nan)
        return mean

    def mean(self, by_sample: Floats | npt.NDArray[np.bool_]) -> Floats:
        """The mean [r] of a value a sample [n]."""
        mean: Floats = self.weights @ by_sample / self.total[:, 0]
        return mean


def areas(truth: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """AUROC [r] and average precision [r] under multiplicities [r, n], NaN with one class only.

    Equal to scikit-learn's roc_auc_score and average_precision_score with sample_weight: the
    first is the weighted Mann-Whitney statistic, a tie counting half; the second sums precision
    over the rises of recall, a tie being one rise. Truth [n] is 1 for a sample of the class.
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each distinct score
    climbing = weights[:, order]
    samples = np.add.reduceat(climbing, starts, axis=1)
    positives = np.add.reduceat(climbing * truth[order], starts, axis=1)
    negatives = samples - positives
    p, q = positives.sum(axis=1), negatives.sum(axis=1)
    below = negatives.cumsum(axis=1) - negatives
    flagged = samples[:, ::-1].cumsum(axis=1)[:, ::-1]  # samples at this score or above
    found = positives[:, ::-1].cumsum(axis=1)[:, ::-1]
    precision = found / np.maximum(flagged, 1)  # where nothing is flagged, nothing rises either
    auroc = ratio((positives * (below + negatives / 2)).sum(axis=1), p * q)
    return auroc, ratio((positives * precision).sum(axis=1), np.where(q > 0, p, 0))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Part / whole, NaN where the whole is zero."""
    return part / np.where(whole == 0, np.nan, whole)


def confusion(truth: Integers, decisions: Integers, k: int) -> Integers:
    """Counts [k, k] of samples, rows the truth and columns the decision."""
    return np.bincount(truth * k + decisions, minlength=k * k).reshape(k, k).astype(np.int64)


def _specificity(r: Resampled) -> Floats:
    rest = r.total - r.support
    return r.macro(ratio(rest - r.flagged + r.found, rest))


def _balanced_accuracy(r: Resampled) -> Floats:
    """The mean recall of the classes that occur; NaN of only one, or if a resample lacks one."""
    occurring = np.flatnonzero(r.counts)
    truth = (r.of.truth[:, None] == occurring).astype(np.float64)
    right = truth * (r.of.decisions == r.of.truth)[:, None]
    recalls = ratio(r.weights @ right, r.weights @ truth)
    return recalls.mean(axis=1) if len(occurring) > 1 else np.full(len(recalls), np.nan)


def _brier(r: Resampled) -> Floats:
    """The mean squared error: of two classes of class 1's probability, of more of all together."""
    truth = np.eye(r.of.probabilities.shape[1])[r.of.truth]
    errors = np.square(r.of.probabilities - truth)
    return r.mean(errors[:, 1] if errors.shape[1] == 2 else errors.sum(axis=1))


def _ece(r: Resampled) -> Floats:
    """Of two classes of class 1's probability, of more the mean of each class's."""
    scores = r.of.probabilities.T[r.classes]
    pairs = zip(r.hits.T, scores, strict=True)
    found = [calibration_error(truth, score, r.weights) for truth, score in pairs]
    mean: Floats = np.reshape(found, (-1, len(r.weights))).sum(axis=0) / (len(found) or np.nan)
    return mean


def _accuracy_counts(p: Predictions) -> tuple[Bools, Bools]:
    return p.decisions == p.truth, np.ones(len(p.truth), dtype=np.bool_)


def _of_two(row: int, called: bool = False) -> Callable[[Predictions], tuple[Bools, Bools]]:
    """Which samples were decided right, and which are of a class; with two classes."""

    def counts(p: Predictions) -> tuple[Bools, Bools]:
        decided = p.called if called else p.decisions
        return np.asarray(decided == p.truth), p.truth == row

    return counts


def _precision_counts(p: Predictions) -> tuple[Bools, Bools]:
    return p.truth == 1, p.decisions == 1


def _called_rate(row: int) -> Callable[[Resampled], Floats]:
    def value(r: Resampled) -> Floats:
        own = (r.of.truth == row).astype(np.float64)
        return ratio(r.weights @ (own * (r.of.called == row)), r.weights @ own)

    return value


def metrics(k: int) -> tuple[Metric, ...]:
    """Those of k classes, in the order in which they are shown.

    Of two classes, class 1's; of more, macro averages, one against the rest, over the classes that
    occur with both values. A class never decided has precision 0.
    """
    two = k == 2
    return (
        Metric(
            "accuracy", "accuracy", lambda r: r.mean(r.of.decisions == r.of.truth),
            style=PERCENT, counts=_accuracy_counts,
        ),
        Metric("loss", "loss", lambda r: r.mean(r.of.losses), better="lower", style="{:.4f}"),
        Metric("auroc", "AUROC", lambda r: r.macro(r.areas[0])),
        Metric("average_precision", "average precision", lambda r: r.macro(r.areas[1])),
        Metric(
            "sensitivity", "sensitivity", lambda r: r.macro(ratio(r.found, r.support)),
            style=PERCENT, counts=_of_two(1) if two else None,
        ),
        Metric(
            "specificity", "specificity", _specificity,
            style=PERCENT, counts=_of_two(0) if two else None,
        ),
        Metric(
            "precision", "precision", lambda r: r.macro(r.found / np.maximum(r.flagged, 1)),
            style=PERCENT, counts=_precision_counts if two else None,
        ),
        Metric("balanced_accuracy", "balanced accuracy", _balanced_accuracy, style=PERCENT),
        Metric("f1", "F1", lambda r: r.macro(ratio(2 * r.found, r.support + r.flagged))),
        Metric("brier", "Brier score", _brier, better="lower"),
        Metric("ece", "calibration error", _ece, better="lower", bounds=False),
    )  # fmt: skip


AT_THRESHOLD = (
    Metric(
        "sensitivity_at_threshold", "sensitivity at the threshold", _called_rate(1),
        style=PERCENT, counts=_of_two(1, called=True),
    ),
    Metric(
        "specificity_at_threshold", "specificity at the threshold", _called_rate(0),
        style=PERCENT, counts=_of_two(0, called=True),
    ),
)  # fmt: skip

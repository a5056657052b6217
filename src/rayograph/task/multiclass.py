"""Exactly one of k classes a sample, class 0 the negative one: softmax."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph.task.estimate import Estimate, multiplicities, percentile, wilson
from rayograph.task.labels import ABSENT, PRESENT, Labels
from rayograph.task.metric import Floats, Metric
from rayograph.task.multiclass_metrics import (
    AT_THRESHOLD,
    Integers,
    Predictions,
    Resampled,
    confusion,
    metrics,
)

AnyFloats = npt.NDArray[np.floating]


class Multiclass:
    """The task of telling k ≥ 2 classes apart."""

    name = "multiclass"
    headline: tuple[str, ...] = ("accuracy", "auroc", "sensitivity", "specificity")

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.metrics: tuple[Metric, ...] = metrics(len(self.classes))

    @property
    def outputs(self) -> int:
        """Logits of a sample."""
        return len(self.classes)

    def encode(self, label: str) -> Labels:
        """The label int8 [k] of a class's name."""
        one = np.full(len(self.classes), ABSENT, np.int8)
        one[self.classes.index(label)] = PRESENT
        return one

    def valid(self, labels: Labels) -> bool:
        """Whether each of labels [n, k] is of exactly one class."""
        right = ((labels == PRESENT) | (labels == ABSENT)).all()
        return bool(right and ((labels == PRESENT).sum(axis=1) == 1).all())

    def columns(self, labels: Labels) -> Mapping[str, Sequence[Any]]:
        """`label`, the class's name."""
        return {"label": [self.classes[i] for i in labels.argmax(axis=1)]}

    def labels(self, table: Any) -> Labels:
        """The labels int8 [n, k] of a table with that column; `ValueError` where it has none."""
        rows = dict(zip(self.classes, np.eye(len(self.classes), dtype=np.int8), strict=True))
        try:
            return np.stack([rows[name] for name in table.column("label").to_pylist()])
        except (KeyError, TypeError) as error:
            raise ValueError(f"the column label: {error}") from None

    def probabilities(self, logits: AnyFloats) -> Floats:
        """Probabilities [n, k] in float64 of logits [n, k]; ValueError for unusable logits."""
        from scipy.special import softmax

        return np.asarray(softmax(_checked(logits), axis=1))

    def decide(
        self, probabilities: Floats, points: tuple[float, ...] | None = None
    ) -> npt.NDArray[np.bool_]:
        """The decided class, bool [n, k]: the likeliest, a tie to the lowest index.

        With an operating point (two classes only) a sample is of class 1 where that one's
        probability is at least that. ValueError for a point that is no probability.
        """
        decided = probabilities.argmax(axis=1)
        if points is not None:
            (point,) = points
            if len(self.classes) != 2 or not 0 <= point <= 1:
                asked = f"operating point {point} for {len(self.classes)} classes"
                raise ValueError(f"{asked}: give a probability from 0 to 1, for two classes")
            decided = (probabilities[:, 1] >= point).astype(np.int64)
        return np.asarray(decided[:, None] == np.arange(probabilities.shape[1]))

    def operating_points(self, labels: Labels, logits: AnyFloats) -> tuple[float, ...] | None:
        """Of two classes the probability of class 1 that maximises sensitivity + specificity.

        It is the midpoint between the best score on the ROC and the next lower distinct one (0
        below the lowest), so that no sample sits exactly on it; of equally good scores the highest
        is taken. None where a class is missing, and of more classes.
        Source: Youden, Cancer 3 (1950) 32.
        """
        if len(self.classes) != 2:
            return None
        truth, scores = _checked_truth(labels, logits), self.probabilities(logits)[:, 1]
        scores, place = np.unique(scores, return_inverse=True)
        positives = np.bincount(place, weights=truth, minlength=len(scores))[::-1]
        negatives = np.bincount(place, weights=1 - truth, minlength=len(scores))[::-1]
        if not positives.any() or not negatives.any():
            return None
        # Whole numbers (J × positives × negatives): equally good scores are then exactly equal.
        gain = positives.cumsum() * negatives.sum() - negatives.cumsum() * positives.sum()
        best = len(scores) - 1 - int(np.argmax(gain))
        lower, upper = np.append(0.0, scores)[best : best + 2]
        # Between neighbouring floats the midpoint rounds to one of them: it must not be the lower.
        return (float(max((lower + upper) / 2, np.nextafter(lower, upper))),)

    def confusion(self, labels: Labels, logits: AnyFloats) -> Integers:
        """Counts [k, k] of samples, rows the truth and columns the likeliest class."""
        decisions = self.decide(self.probabilities(logits)).argmax(axis=1)
        return confusion(labels.argmax(axis=1), decisions, len(self.classes))

    def quick(self, labels: Labels, logits: AnyFloats) -> dict[str, float]:
        """Every metric without intervals, NaN where it is undefined; ValueError as `evaluate`."""
        point = Resampled(self._judged(labels, logits, None), np.ones((1, len(labels))))
        return {metric.name: metric.value(point).item() for metric in self.metrics}

    def evaluate(
        self,
        labels: Labels,
        logits: AnyFloats,
        patients: Sequence[str],
        points: tuple[float, ...] | None = None,
        *,
        resamples: int = 1000,
        seed: int = 0,
    ) -> dict[str, Estimate]:
        """Every metric with its interval, of labels [n, k], logits [n, k] and patients [n].

        An operating point (from another split) adds its sensitivity and specificity. A bootstrap's
        interval is None with one patient, or where the metric is undefined in more than half of the
        resamples. ValueError for no samples, one class, a label of no class, unequal lengths, or
        logits that are NaN or infinite.
        """
        if len(patients) != len(logits):
            raise ValueError(f"{len(patients)} patients for {len(logits)} films: give one a film")
        judged = self._judged(labels, logits, points)
        point = Resampled(judged, np.ones((1, len(labels))))
        wanted = (*self.metrics, *(AT_THRESHOLD if points is not None else ()))
        drawn: dict[str, list[Floats]] = {m.name: [] for m in wanted if m.counts is None}
        for weights in multiplicities(patients, resamples, seed):
            resampled = Resampled(judged, weights)
            for metric in wanted:
                if metric.counts is None:
                    drawn[metric.name].append(metric.value(resampled))
        return {
            metric.name: percentile(metric.value(point).item(), drawn[metric.name])
            if metric.counts is None
            else wilson(*metric.counts(judged))
            for metric in wanted
        }

    def predictions(
        self, logits: AnyFloats, points: tuple[float, ...] | None
    ) -> Mapping[str, npt.NDArray[Any]]:
        """The decided class, whether it is not the negative one, and each class's probability."""
        values = logits.astype(np.float64, copy=False)
        probabilities = self.probabilities(values) if len(values) else values
        decided = self.decide(probabilities, points).argmax(axis=1)
        return {
            "decision": np.array(self.classes, dtype=np.str_)[decided],
            "positive": decided > 0,
            **{f"p_{name}": probabilities[:, i] for i, name in enumerate(self.classes)},
        }

    def _judged(
        self, labels: Labels, logits: AnyFloats, points: tuple[float, ...] | None
    ) -> Predictions:
        from scipy.special import log_softmax

        truth = _checked_truth(labels, logits)
        values = _checked(logits)
        probabilities = self.probabilities(values)
        losses = -log_softmax(values, axis=1)[np.arange(len(truth)), truth]
        decisions = self.decide(probabilities).argmax(axis=1)
        called = None if points is None else self.decide(probabilities, points).argmax(axis=1)
        return Predictions(truth, probabilities, losses, decisions, called)


def _checked(logits: AnyFloats) -> Floats:
    """The logits [n, k] in float64, or a ValueError that says what is wrong with them."""
    samples, k = logits.shape
    if samples == 0:
        raise ValueError("no films: a metric needs at least one")
    if k < 2:
        raise ValueError(f"logits of {k} class: a classifier needs at least 2")
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {samples} films have a NaN or infinite logit, the first at index "
            f"{bad[0]}: a model that returns NaN has diverged, lower optim.lr"
        )
    return logits.astype(np.float64, copy=False)


def _checked_truth(labels: Labels, logits: AnyFloats) -> Integers:
    """The class [n] of labels int8 [n, k], or a ValueError that says what is wrong with them."""
    _checked(logits)
    if labels.shape != logits.shape:
        raise ValueError(f"labels {labels.shape} for logits {logits.shape}: give one a film")
    wrong = np.flatnonzero((labels == PRESENT).sum(axis=1) != 1)
    if len(wrong):
        raise ValueError(f"the label at index {wrong[0]} is not of exactly one class")
    return np.asarray(labels.argmax(axis=1), dtype=np.int64)

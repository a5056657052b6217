"""Exactly one of k classes a sample, class 0 the negative one: softmax."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph.task.calibration import fitted
from rayograph.task.checked import AnyFloats, checked
from rayograph.task.estimate import (
    RESAMPLES,
    Estimate,
    Judgement,
    multiplicities,
    percentile,
    proportion,
    rarest,
)
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
from rayograph.task.operating import OperatingPoints, Rule, chosen


class Multiclass:
    """The task of telling k ≥ 2 classes apart."""

    name = "multiclass"
    unlabelled = ABSENT
    by_label: Mapping[str, Callable[[Any], Floats]] = {}
    stressed = "balanced_accuracy"
    headline: tuple[str, ...] = ("accuracy", "auroc", "sensitivity", "specificity")

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.metrics: tuple[Metric, ...] = metrics(len(self.classes))
        self.pointed: tuple[str, ...] = self.classes[1:] if len(self.classes) == 2 else ()

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

        return np.asarray(softmax(checked(logits, 2), axis=1))

    def logits(self, probabilities: Floats) -> Floats:
        """The logarithms of probabilities [n, k]."""
        return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))

    def decide(
        self, probabilities: Floats, points: OperatingPoints = None
    ) -> npt.NDArray[np.bool_]:
        """The decided class, bool [n, k]: the likeliest, a tie to the lowest index.

        With an operating point (two classes only) a sample is of class 1 where that one's
        probability is at least that. ValueError for a point that is no probability.
        """
        decided = probabilities.argmax(axis=1)
        if points is not None:
            (point,) = points
            if len(self.classes) != 2 or point is None or not 0 <= point <= 1:
                asked = f"operating point {point} for {len(self.classes)} classes"
                raise ValueError(f"{asked}: give a probability from 0 to 1, for two classes")
            decided = (probabilities[:, 1] >= point).astype(np.int64)
        return np.asarray(decided[:, None] == np.arange(probabilities.shape[1]))

    def temperature(self, labels: Labels, logits: AnyFloats) -> float:
        """By which logits [n, k] are to be divided so that these labels are likeliest."""
        from scipy.special import logsumexp

        truth = _checked_truth(labels, logits)
        values = checked(logits, 2)
        values = values - values[np.arange(len(truth)), truth][:, None]
        return fitted(lambda t: float(np.mean(logsumexp(values / t, axis=1))))

    def operating_points(self, labels: Labels, logits: AnyFloats, by: Rule) -> OperatingPoints:
        """Of two classes the probability of class 1 that a rule chooses.

        None where a class is missing, and of more classes.
        """
        if len(self.classes) != 2:
            return None
        truth = _checked_truth(labels, logits)
        point = chosen(truth, self.probabilities(logits)[:, 1], by)
        return None if point is None else (point,)

    def confusion(
        self,
        labels: Labels,
        logits: AnyFloats,
        points: OperatingPoints = None,  # noqa: ARG002
    ) -> Integers:
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
        points: OperatingPoints = None,
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Judgement:
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
        wanted, (fewest,) = self.wanted(points), self.fewest(labels, patients)
        drawn: dict[str, list[Floats]] = {m.name: [] for m in wanted if m.interval == "bootstrap"}
        for weights in multiplicities(patients, resamples, seed):
            resampled = Resampled(judged, weights)
            for metric in wanted:
                if metric.name in drawn:
                    drawn[metric.name].append(metric.value(resampled))

        def estimate(metric: Metric) -> Estimate:
            if metric.counts is not None:
                return proportion(*metric.counts(judged), patients)
            return percentile(metric.value(point).item(), drawn.get(metric.name, []), fewest)

        return Judgement({metric.name: estimate(metric) for metric in wanted}, {})

    def fewest(self, labels: Labels, patients: Sequence[str]) -> tuple[int, ...]:
        """The patients of the rarest class."""
        return (rarest(labels.argmax(axis=1), patients),)

    def wanted(self, points: OperatingPoints) -> tuple[Metric, ...]:
        """The metrics that `evaluate` gives, with those of the operating point if there is one."""
        return (*self.metrics, *(AT_THRESHOLD if points is not None else ()))

    def under(
        self, labels: Labels, logits: AnyFloats, points: OperatingPoints
    ) -> Callable[[Floats], Resampled]:
        """Of multiplicities [r, n], what the metrics' functions take; ValueError as `evaluate`."""
        judged = self._judged(labels, logits, points)
        return lambda weights: Resampled(judged, weights)

    def predictions(
        self, logits: AnyFloats, points: OperatingPoints
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

    def counts(self, table: Any) -> dict[str, int]:
        """Of two classes the negative and the positive ones; of more, those of each class."""
        names = ("negative", "positive") if len(self.classes) == 2 else self.classes
        decided = table.column("decision").to_pylist()
        return {name: decided.count(c) for name, c in zip(names, self.classes, strict=True)}

    def _judged(self, labels: Labels, logits: AnyFloats, points: OperatingPoints) -> Predictions:
        from scipy.special import log_softmax

        truth = _checked_truth(labels, logits)
        values = checked(logits, 2)
        probabilities = self.probabilities(values)
        losses = -log_softmax(values, axis=1)[np.arange(len(truth)), truth]
        decisions = self.decide(probabilities).argmax(axis=1)
        called = None if points is None else self.decide(probabilities, points).argmax(axis=1)
        return Predictions(truth, probabilities, losses, decisions, called)


def _checked_truth(labels: Labels, logits: AnyFloats) -> Integers:
    """The class [n] of labels int8 [n, k], or a ValueError that says what is wrong with them."""
    checked(logits, 2)
    if labels.shape != logits.shape:
        raise ValueError(f"labels {labels.shape} for logits {logits.shape}: give one a film")
    wrong = np.flatnonzero((labels == PRESENT).sum(axis=1) != 1)
    if len(wrong):
        raise ValueError(f"the label at index {wrong[0]} is not of exactly one class")
    return np.asarray(labels.argmax(axis=1), dtype=np.int64)

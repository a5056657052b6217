"""k labels a sample, each present or absent by itself: sigmoid."""

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
from rayograph.task.labels import ABSENT, MISSING, PRESENT, UNCERTAIN, Labels
from rayograph.task.metric import Floats, Metric
from rayograph.task.multilabel_metrics import (
    BY_LABEL,
    METRICS,
    PROPORTIONS,
    LabelPredictions,
    ResampledLabels,
)
from rayograph.task.operating import OperatingPoints, Rule, chosen

EVEN = 0.5  # where validation says nothing of a label's operating point


class Multilabel:
    """The task of telling of each of k ≥ 1 labels whether it is present."""

    name = "multilabel"
    unlabelled = MISSING
    stressed = "auroc"
    headline: tuple[str, ...] = ("auroc", "average_precision", "sensitivity", "specificity")
    metrics: tuple[Metric, ...] = METRICS
    by_label: Mapping[str, Callable[[Any], Floats]] = BY_LABEL

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = self.pointed = tuple(classes)

    @property
    def outputs(self) -> int:
        """Logits of a sample."""
        return len(self.classes)

    def valid(self, labels: Labels) -> bool:
        """Whether each of labels [n, k] is one of the four states."""
        return bool(((labels >= MISSING) & (labels <= PRESENT)).all())

    def columns(self, labels: Labels) -> Mapping[str, Sequence[Any]]:
        """`label_NAME` for each label: 1, 0, -1 for uncertain, nothing where it is missing."""
        return {
            f"label_{name}": [None if state == MISSING else int(state) for state in states]
            for name, states in zip(self.classes, labels.T, strict=True)
        }

    def labels(self, table: Any) -> Labels:
        """The labels int8 [n, k] of a table with those columns; `ValueError` where it has none."""
        known = {PRESENT, ABSENT, UNCERTAIN}
        found = []
        for name in self.classes:
            try:
                states = table.column(f"label_{name}").to_pylist()
            except KeyError as error:
                raise ValueError(f"the column label_{name}: {error}") from None
            states = [MISSING if state is None else state for state in states]
            if not set(states) <= known | {MISSING}:
                raise ValueError(f"the column label_{name}: not 1, 0, -1 or nothing")
            found.append(np.array(states, np.int8))
        return np.stack(found, axis=1)

    def probabilities(self, logits: AnyFloats) -> Floats:
        """Probabilities [n, k] in float64 of logits [n, k]; ValueError for unusable logits."""
        from scipy.special import expit

        return np.asarray(expit(checked(logits, 1)))

    def logits(self, probabilities: Floats) -> Floats:
        """The log-odds of probabilities [n, k]."""
        tiny = np.finfo(np.float64).tiny
        return np.log(np.maximum(probabilities, tiny)) - np.log(np.maximum(1 - probabilities, tiny))

    def decide(
        self, probabilities: Floats, points: OperatingPoints = None
    ) -> npt.NDArray[np.bool_]:
        """Which labels are present, bool [n, k]: from their operating points, else from 0.5."""
        least = [EVEN if point is None else point for point in points or [None] * len(self.classes)]
        return np.asarray(probabilities >= np.array(least))

    def temperature(self, labels: Labels, logits: AnyFloats) -> float:
        """By which logits [n, k] are to be divided so that what is known is likeliest.

        1 where nothing is known.
        """
        known = labels >= ABSENT
        margins = np.where(labels == PRESENT, -1.0, 1.0)[known] * checked(logits, 1)[known]
        if not len(margins):
            return 1.0
        return fitted(lambda t: float(np.mean(np.logaddexp(0.0, margins / t))))

    def operating_points(self, labels: Labels, logits: AnyFloats, by: Rule) -> OperatingPoints:
        """Of each label the probability that a rule chooses.

        Over the samples of which it is known; None where these are all of one kind.
        """
        probabilities = self.probabilities(logits)
        found = []
        for truth, scores in zip(labels.T, probabilities.T, strict=True):
            known = truth >= ABSENT
            found.append(chosen(truth[known], scores[known], by) if known.any() else None)
        return tuple(found)

    def confusion(
        self, labels: Labels, logits: AnyFloats, points: OperatingPoints = None
    ) -> npt.NDArray[np.int64]:
        """Counts [k, 2, 2] of samples: of each label rows the truth and columns the decision."""
        decided = self.decide(self.probabilities(logits), points)
        counts = [
            ((labels == truth) & (decided == decision)).sum(axis=0)
            for truth in (ABSENT, PRESENT) for decision in (False, True)
        ]  # fmt: skip
        return np.stack(counts, axis=1).reshape(-1, 2, 2).astype(np.int64)

    def quick(self, labels: Labels, logits: AnyFloats) -> dict[str, float]:
        """Every metric without intervals, NaN where it is undefined; ValueError as `evaluate`."""
        point = ResampledLabels(self._judged(labels, logits, None), np.ones((1, len(labels))))
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
        """Every metric with its interval, over the labels and of each label.

        Of labels [n, k], logits [n, k] and patients [n]. The mean over labels is, in each resample,
        over those that are defined in it. ValueError for no samples, unequal lengths, or logits
        that are NaN or infinite.
        """
        if len(patients) != len(logits):
            raise ValueError(f"{len(patients)} patients for {len(logits)} films: give one a film")
        judged = self._judged(labels, logits, points)
        point = ResampledLabels(judged, np.ones((1, len(labels))))
        drawn: dict[str, list[Floats]] = {m.name: [] for m in self.metrics if m.bounds}
        of_labels: dict[str, list[Floats]] = {
            name: [] for name in BY_LABEL if name in drawn and name not in PROPORTIONS
        }
        for weights in multiplicities(patients, resamples, seed):
            resampled = ResampledLabels(judged, weights)
            for metric in self.metrics:
                if metric.bounds:
                    drawn[metric.name].append(metric.value(resampled))
            for name, draws in of_labels.items():
                draws.append(BY_LABEL[name](resampled))
        whole = {name: value(point)[0] for name, value in BY_LABEL.items()}
        everyone, *of_label = self.fewest(labels, patients)

        def estimate(name: str, i: int) -> Estimate:
            if name in PROPORTIONS:
                counted = labels[:, i] == PROPORTIONS[name]
                right = judged.decisions[:, i] == (labels[:, i] == PRESENT)
                return proportion(right, counted, patients)
            draws = [block[:, i] for block in of_labels.get(name, ())]
            return percentile(float(whole[name][i]), draws, of_label[i])

        return Judgement(
            {
                m.name: percentile(m.value(point).item(), drawn.get(m.name, ()), everyone)
                for m in self.metrics
            },
            {
                label: {name: estimate(name, i) for name in BY_LABEL}
                for i, label in enumerate(self.classes)
            },
        )

    def fewest(self, labels: Labels, patients: Sequence[str]) -> tuple[int, ...]:
        """All patients, since a mean over labels hangs on many; and each label's rarer kind's."""
        names, owners = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        return (len(names), *(rarest(column, owners) for column in labels.T))

    def wanted(self, points: OperatingPoints) -> tuple[Metric, ...]:  # noqa: ARG002
        """The metrics that `evaluate` gives over the labels, whatever decides."""
        return self.metrics

    def under(
        self, labels: Labels, logits: AnyFloats, points: OperatingPoints
    ) -> Callable[[Floats], ResampledLabels]:
        """Of multiplicities [r, n], what the metrics' functions take; ValueError as `evaluate`."""
        judged = self._judged(labels, logits, points)
        return lambda weights: ResampledLabels(judged, weights)

    def predictions(
        self, logits: AnyFloats, points: OperatingPoints
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Of each label its probability, and whether it counts as present."""
        values = logits.astype(np.float64, copy=False)
        probabilities = self.probabilities(values) if len(values) else values
        decided = self.decide(probabilities, points)
        named = list(enumerate(self.classes))
        return {f"p_{name}": probabilities[:, i] for i, name in named} | {
            f"positive_{name}": decided[:, i] for i, name in named
        }

    def counts(self, table: Any) -> dict[str, int]:
        """The positive ones of each label."""
        decided = {name: table.column(f"positive_{name}").to_pylist() for name in self.classes}
        return {name: values.count(True) for name, values in decided.items()}

    def _judged(
        self, labels: Labels, logits: AnyFloats, points: OperatingPoints
    ) -> LabelPredictions:
        values = checked(logits, 1)
        if labels.shape != logits.shape:
            raise ValueError(f"labels {labels.shape} for logits {logits.shape}: give one a film")
        probabilities = self.probabilities(values)
        signs = np.where(labels == PRESENT, -1.0, 1.0)
        losses = np.logaddexp(0.0, signs * values)
        return LabelPredictions(labels, probabilities, losses, self.decide(probabilities, points))

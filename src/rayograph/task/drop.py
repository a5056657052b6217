"""How much worse a model is on films of elsewhere than on its own: two independent samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rayograph.task import paired
from rayograph.task.estimate import RESAMPLES, Estimate, multiplicities, percentile, wilson
from rayograph.task.labels import ABSENT, MISSING, PRESENT, Labels
from rayograph.task.metric import Floats
from rayograph.task.operating import OperatingPoints

if TYPE_CHECKING:
    from rayograph.task import Task

BESIDE = ("brier", "loss", "ece")  # metrics told beside the headline, of those that the task has
INTERNAL, EXTERNAL = 0, 1  # seeds, so that the resamples of the two have nothing in common


@dataclass(frozen=True)
class Sample:
    """Films of one place: labels int8 [n, k], logits [n, k], patients [n]."""

    labels: Labels
    logits: Floats
    patients: Sequence[str]

    def of(self, rows: Any) -> "Sample":
        """Some of the films, bool [n]."""
        owners = np.asarray(self.patients, dtype=np.str_)[rows].tolist()
        return Sample(self.labels[rows], self.logits[rows], owners)


@dataclass(frozen=True)
class Drop:
    """A metric in both places, and external less internal; intervals of 95 %, by bootstrap."""

    internal: Estimate
    external: Estimate
    difference: Estimate

    def without_bounds(self) -> "Drop":
        """Of a metric whose intervals would not hold the truth."""
        values = (each.value for each in (self.internal, self.external, self.difference))
        return Drop(*map(Estimate, values))


def comparable(task: "Task", internal: Sample, external: Sample) -> tuple[Sample, Sample]:
    """Both samples as far as they can be compared.

    Of classes: the films of those that occur in both. Of labels: those that have known films of
    both kinds in both; the others become missing, so that the mean over labels is over the same.
    """
    if task.unlabelled != MISSING:
        found = [(each.labels == PRESENT).any(axis=0) for each in (internal, external)]
        both = found[0] & found[1]
        inside, outside = (
            each.of(both[each.labels.argmax(axis=1)]) for each in (internal, external)
        )
        return inside, outside
    kinds = [
        (each.labels == state).any(axis=0)
        for each in (internal, external)
        for state in (PRESENT, ABSENT)
    ]
    both = np.logical_and.reduce(kinds)
    inside, outside = (
        Sample(np.where(both, each.labels, MISSING).astype(np.int8), each.logits, each.patients)
        for each in (internal, external)
    )
    return inside, outside


def drops(
    task: "Task",
    internal: Sample,
    external: Sample,
    points: OperatingPoints,
    resamples: int = RESAMPLES,
) -> tuple[dict[str, Drop], dict[str, dict[str, Drop]]]:
    """The drop of each headline metric, and of each label; none where nothing can be compared.

    Patients are drawn in each place by themselves, so that the difference has the chance of both.
    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 8 (two samples).
    """
    inside, outside = comparable(task, internal, external)
    if not len(inside.labels) or not len(outside.labels):
        return {}, {}
    wanted = {metric.name: metric for metric in task.wanted(points)}
    at = [name for name in wanted if name.endswith("_at_threshold")]
    names = [name for name in (*task.headline, *at, *BESIDE) if name in wanted]
    by_label = {name: task.by_label[name] for name in task.headline if name in task.by_label}

    def judge(resampled: Any) -> Floats:
        columns = [wanted[name].value(resampled)[:, None] for name in names]
        return np.concatenate([*columns, *(by(resampled) for by in by_label.values())], axis=1)

    found = [
        _bootstrap(task, each, points, judge, resamples, seed)
        for each, seed in ((inside, INTERNAL), (outside, EXTERNAL))
    ]
    k = len(task.classes)
    places = [0] * len(names) + [1 + i % k for i in range(k * len(by_label))]
    fewest = [task.fewest(each.labels, each.patients) for each in (inside, outside)]
    every = [
        _drop(found[0], found[1], column, [few[place] for few in fewest])
        for column, place in enumerate(places)
    ]
    rest = every[len(names) :]
    labels = {
        label: {name: rest[place * k + i] for place, name in enumerate(by_label)}
        for i, label in enumerate(task.classes)
        if by_label and (outside.labels[:, i] >= ABSENT).any()
    }
    overall = {
        name: drop if wanted[name].bounds else drop.without_bounds()
        for name, drop in zip(names, every, strict=False)
    }
    return overall, labels


Values = tuple[Floats, Floats]  # [m] of the films as they are, and [resamples, m]


def _bootstrap(
    task: "Task",
    sample: Sample,
    points: OperatingPoints,
    judge: Callable[[Any], Floats],
    resamples: int,
    seed: int,
) -> Values:
    under = task.under(sample.labels, sample.logits, points)
    point = judge(under(np.ones((1, len(sample.labels)))))
    drawn = [judge(under(times)) for times in multiplicities(sample.patients, resamples, seed)]
    return point[0], np.concatenate([point[:0], *drawn])


def _drop(internal: Values, external: Values, column: int, fewest: Sequence[int]) -> Drop:
    (inside, of_inside), (outside, of_outside) = (
        (float(values[column]), drawn[:, column]) for values, drawn in (internal, external)
    )
    count = min(len(of_inside), len(of_outside))  # none of a single patient
    both = np.stack([of_inside[:count], of_outside[:count]], axis=1)
    return Drop(
        percentile(inside, [of_inside], fewest[0]),
        percentile(outside, [of_outside], fewest[1]),
        paired.difference(inside, outside, both, min(fewest)).difference,
    )


def prevalences(task: "Task", labels: Labels) -> dict[str, Estimate]:
    """The share of films with each class or label, of those where it is known (Wilson)."""
    present, known = (labels == PRESENT).sum(axis=0), (labels >= ABSENT).sum(axis=0)
    return {name: wilson(int(present[i]), int(known[i])) for i, name in enumerate(task.classes)}

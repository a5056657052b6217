"""How a model does in parts of the patients: men and women, the young and the old, views, makers.

Each part is judged by itself, with intervals of its own. The largest difference between two parts
is told with an interval, too; it is the largest of many, so it is a hint and no test.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rayograph.task.estimate import Estimate, Judgement
from rayograph.task.labels import Labels
from rayograph.task.operating import OperatingPoints

KNOWN_PATIENT = "patient_in_training"  # whether a test film's patient is; of a source's own splits
COLUMNS = (  # judged by, where they are known
    "sex", "age", "view", "manufacturer", "modality", KNOWN_PATIENT,
)  # fmt: skip
BANDS = (0, 18, 40, 60, 80)  # years, each from this age on
MOST = 12  # values of a column that is judged by
FEWEST = 10  # samples of a part that has intervals, and is compared


class Judge(Protocol):
    """What judging a part needs of a task."""

    headline: tuple[str, ...]

    def evaluate(
        self, labels: Labels, logits: Any, patients: Sequence[str], points: OperatingPoints
    ) -> Judgement:
        """Every metric with its interval."""


@dataclass(frozen=True)
class Part:
    """Samples of one value of a column: how many, of how many patients, and how they are judged."""

    films: int
    patients: int
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True)
class Gap:
    """The largest difference of a metric between two parts: `high` has more of it than `low`."""

    high: str
    low: str
    difference: Estimate


@dataclass(frozen=True)
class Subgroups:
    """A column's parts by their value, and the largest difference of each metric."""

    parts: Mapping[str, Part]
    gaps: Mapping[str, Gap]


def subgroups(
    task: Judge,
    labels: Labels,
    logits: npt.NDArray[np.floating[Any]],
    patients: Sequence[str],
    points: OperatingPoints,
    columns: Mapping[str, Sequence[Any]],
) -> dict[str, Subgroups]:
    """By each column that has 2 to 12 values, its subgroups: labels and logits [n, k], columns [n].

    Ages are judged in bands. Samples of which a column says nothing are in none of its parts.
    """
    found = {}
    for name, values in columns.items():
        groups = _groups(name, values)
        if not 2 <= len(groups) <= MOST:
            continue
        parts = {}
        for group, rows in groups.items():
            own = [patients[i] for i in rows]
            judged = task.evaluate(labels[rows], logits[rows], own, points)
            metrics = {metric: judged.metrics[metric] for metric in task.headline}
            if len(rows) < FEWEST:  # a bootstrap of so few knows no more than they are
                metrics = {metric: Estimate(each.value) for metric, each in metrics.items()}
            parts[group] = Part(len(rows), len(set(own)), metrics)
        found[name] = Subgroups(parts, dict(_gaps(task.headline, parts)))
    return found


def _groups(name: str, values: Sequence[Any]) -> dict[str, npt.NDArray[np.intp]]:
    """The rows of each value; ages by band, other values by name."""
    if name == "age":
        return _bands(values)
    named = [None if value is None or value == "" else str(value) for value in values]
    known = sorted({value for value in named if value is not None})
    return {value: np.flatnonzero([own == value for own in named]) for value in known}


def _bands(values: Sequence[Any]) -> dict[str, npt.NDArray[np.intp]]:
    try:
        ages = np.array([np.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError):  # a column of another meaning
        return {}
    found = {}
    for low, high in zip(BANDS, (*BANDS[1:], np.inf), strict=True):
        rows = np.flatnonzero((ages >= low) & (ages < high))
        if len(rows):
            found[f"{low} and older" if np.isinf(high) else f"{low} to {high - 1}"] = rows
    return found


def _gaps(metrics: Sequence[str], parts: Mapping[str, Part]) -> Iterator[tuple[str, Gap]]:
    for metric in metrics:
        judged = {
            name: part.metrics[metric]
            for name, part in parts.items()
            if part.metrics[metric].bounded
        }
        pairs = [
            Gap(a, b, difference(judged[a], judged[b]))
            for one, other in combinations(judged, 2)
            for a, b in [sorted((one, other), key=lambda name: -(judged[name].value or 0))]
        ]
        if pairs:
            yield metric, max(pairs, key=lambda gap: gap.difference.value or 0)


def difference(one: Estimate, other: Estimate) -> Estimate:
    """The difference of two independent estimates with its 95 % interval; None where one has none.

    By their own intervals, square and add. Source: Zou and Donner, Stat. Med. 27 (2008) 1693.
    """
    if not (one.bounded and other.bounded):
        return Estimate(None)
    (a, la, ua), (b, lb, ub) = (_floats(each) for each in (one, other))
    low = a - b - np.hypot(a - la, ub - b)
    high = a - b + np.hypot(ua - a, b - lb)
    return Estimate(a - b, float(low), float(high))


def _floats(found: Estimate) -> tuple[float, float, float]:
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return found.value, found.low, found.high

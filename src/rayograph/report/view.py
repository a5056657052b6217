"""What a report shows: a run, its epochs, and what was measured on a split."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Metrics = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class EvaluationView:
    """One split's evaluation: n films of k classes, of which index 0 is the negative one."""

    split: str
    classes: tuple[str, ...]
    films: int
    patients: int
    metrics: Metrics  # name → value, low, high
    confusion: Sequence[Sequence[int]]  # rows truth, columns decision
    labels: npt.NDArray[Any]  # int [n]
    probabilities: npt.NDArray[Any]  # float [n, k]
    checkpoints: Sequence[Mapping[str, Any]] = ()  # {"epoch": 3, "metrics": {…}}
    epoch: int | None = None  # of the model that was judged

    @property
    def binary(self) -> bool:
        """Whether there is one positive class."""
        return len(self.classes) == 2

    def scored(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Labels [m] and probabilities [m, k] of the films whose probabilities are finite."""
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        finite = np.isfinite(probabilities).all(axis=1)
        return np.asarray(self.labels, dtype=np.int64)[finite], probabilities[finite]


@dataclass(frozen=True)
class RunReport:
    """One run: its resolved config, a mapping for each epoch, and an evaluation for each split."""

    name: str
    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    evaluations: Sequence[EvaluationView]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def bounded(self) -> bool:
        """Whether value and interval are both there."""
        return None not in (self.value, self.low, self.high)


def estimate(metrics: Metrics, name: str) -> Estimate:
    """The metric `name`; a missing one, a None and a NaN are all None."""
    found = metrics.get(name, {})
    return Estimate(*(number(found.get(key)) for key in ("value", "low", "high")))


def number(value: object) -> float | None:
    """A finite float, or None."""
    if not isinstance(value, int | float | np.number):
        return None
    return float(value) if math.isfinite(value) else None


def series(rows: Sequence[Mapping[str, Any]], key: str) -> npt.NDArray[np.float64]:
    """One value a row, float [rows]; NaN where it is missing or not finite."""
    values = (number(row.get(key)) for row in rows)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def select(report: RunReport) -> str:
    """The column of the history that chooses the best epoch: the config's `train.select`.

    As in training: where no epoch has it, the validation loss; where there is none, the training's.
    """
    train = report.config.get("train")
    told = train.get("select", "val_auroc") if isinstance(train, Mapping) else "val_auroc"
    names = (str(told), "val_loss", "train_loss")
    defined = (name for name in names if np.isfinite(series(report.history, name)).any())
    return next(defined, names[0])


def best_row(report: RunReport) -> int | None:
    """Where in the history the best epoch stands, the first of equals; None if none is defined.

    As training does it: where epochs say which of them have a checkpoint, only those count.
    """
    key = select(report)
    values = series(report.history, key)
    saved = np.array([bool(row.get("checkpoint")) for row in report.history], dtype=bool)
    values[~saved & saved.any()] = np.nan
    if not np.isfinite(values).any():
        return None
    return int(np.nanargmin(values) if key.endswith("loss") else np.nanargmax(values))

"""What a report shows: a run, its epochs, and what was measured on a split."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph import task as tasks
from rayograph.data.card import DataCard, Unread
from rayograph.runs import history
from rayograph.runs.card import ModelCard
from rayograph.task import Estimate

Metrics = Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True)
class EvaluationView:
    """One split's evaluation: n films of k classes or labels.

    Of classes index 0 is the negative one, a film's label is its class, and the confusion has rows
    of truth and columns of decisions. Of labels each has such a confusion of two by two, its state
    in each film, and its metrics in `by_label`.
    """

    split: str
    task: str
    classes: tuple[str, ...]
    films: int
    patients: int
    metrics: Metrics  # name → value, low, high
    confusion: Sequence[Sequence[Any]]  # int [k, k], or [k, 2, 2] of labels
    labels: npt.NDArray[Any]  # int [n], or [n, k] of labels
    probabilities: npt.NDArray[Any]  # float [n, k]
    checkpoints: Sequence[Mapping[str, Any]] = ()  # {"epoch": 3, "metrics": {…}}
    epoch: int | None = None  # of the model that was judged
    by_label: Mapping[str, Metrics] = field(default_factory=dict)
    noun: str = "films"  # what people call its samples
    operating_points: tasks.OperatingPoints = None
    subgroups: Mapping[str, Any] = field(default_factory=dict)  # by column: parts and gaps
    owners: Sequence[str] = ()  # the patient of each film [n]; none: each film has its own
    overlap: Mapping[str, Any] | None = None  # with what the model was trained on
    unmatched: Sequence[str] = ()
    selection: Mapping[str, Any] | None = None  # with `checkpoints`
    models: int = 1  # judged together
    # As `runs.evaluations.Evaluation` has them:
    temperature: float = 1.0
    calibration: Mapping[str, Mapping[str, float | None]] | None = None
    at_points: Mapping[str, Metrics] | None = None
    chosen_on: Mapping[str, Metrics] | None = None
    predictive: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def binary(self) -> bool:
        """Whether there is one positive class."""
        return len(self.classes) == 2 and not self.by_label

    @property
    def of_task(self) -> tasks.Task:
        """The task that was judged."""
        return tasks.of(self.task, self.classes)

    def interval(self, name: str) -> str:
        """The kind of a metric's interval for these classes."""
        own = {metric.name: metric for metric in self.of_task.metrics}
        return own.get(name, tasks.METRICS[name]).interval

    def scored(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Labels [m, …] and probabilities [m, k] of the films whose probabilities are finite."""
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        finite = np.isfinite(probabilities).all(axis=1)
        return np.asarray(self.labels, dtype=np.int64)[finite], probabilities[finite]

    def patients_of_scored(self) -> list[str]:
        """Whose the films of `scored` are [m]."""
        probabilities = np.asarray(self.probabilities, dtype=np.float64)
        owners = self.owners or [str(row) for row in range(len(probabilities))]
        finite = np.isfinite(probabilities).all(axis=1)
        return [owners[row] for row in np.flatnonzero(finite).tolist()]


@dataclass(frozen=True)
class RunReport:
    """One run: its resolved config, a mapping for each epoch, and an evaluation for each split.

    `findings` are the documents that other commands left, by name. What is None is not known.
    """

    name: str
    config: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    evaluations: Sequence[EvaluationView]
    findings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    card: ModelCard | None = None
    data: DataCard | Unread | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def judged(self) -> EvaluationView | None:
        """The evaluation that is told first: of the test split if there is one."""
        tests = [view for view in self.evaluations if view.split == "test"]
        return next(iter([*tests, *self.evaluations]), None)

    @property
    def noun(self) -> str:
        """What people call the samples, as far as the evaluations say."""
        return next((view.noun for view in self.evaluations), "films")


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
    """What the run chose its best epoch by: the config's `train.select`."""
    train = report.config.get("train")
    return str(train.get("select", "val_auroc")) if isinstance(train, Mapping) else "val_auroc"


def ends(report: RunReport) -> bool:
    """Whether the last epoch is the model, whatever the others are.

    By `train.final`, or as no epoch was judged on validation films.
    """
    train = report.config.get("train")
    asked = isinstance(train, Mapping) and train.get("final") == "last"
    return asked or not any(map(history.validated, report.history))


def watched(report: RunReport) -> bool:
    """Whether its epochs were judged on the test films, too: `train.watch`."""
    return any(name.startswith("test_") for row in report.history for name in row)


def measure(report: RunReport) -> tasks.Column:
    """What its epochs are judged by: a loss where none of them has the selected metric."""
    rows = sorted(report.history, key=lambda row: row.get(select(report)) is None)
    found = next((history.selecting(row, select(report)) for row in rows), None)
    return found or tasks.column(select(report))


def best_row(report: RunReport) -> int | None:
    """Where in the history the model's epoch is; None if no epoch is better than another."""
    if ends(report):
        return len(report.history) - 1 if report.history else None
    found = history.best(report.history, select(report))
    if found is None or measure(report).score(found) is None:
        return None
    return next(i for i, row in enumerate(report.history) if row is found)

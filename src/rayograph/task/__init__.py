"""What a label means and how a prediction is judged: a file for each task. numpy and scipy only."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rayograph.errors import UserError
from rayograph.task import multiclass_metrics, multilabel_metrics
from rayograph.task.estimate import Estimate, Judgement
from rayograph.task.labels import ABSENT, MISSING, PRESENT, UNCERTAIN, Labels
from rayograph.task.metric import STRESS, Column, Floats, Metric
from rayograph.task.multiclass import Multiclass
from rayograph.task.multiclass_metrics import AT_THRESHOLD
from rayograph.task.multilabel import Multilabel
from rayograph.task.operating import OperatingPoints, Rule

__all__ = [
    "ABSENT",
    "METRICS",
    "MISSING",
    "PRESENT",
    "STRESS",
    "UNCERTAIN",
    "Column",
    "Estimate",
    "Judgement",
    "Labels",
    "Metric",
    "OperatingPoints",
    "Rule",
    "Task",
    "check_select",
    "column",
    "of",
]


ByLabel = Callable[[Any], Floats]


class Task(Protocol):
    """What everybody else needs to know of a task with k classes or labels; n samples."""

    name: str
    classes: tuple[str, ...]
    metrics: tuple[Metric, ...]
    headline: tuple[str, ...]  # the metrics that are told first
    stressed: str  # the metric that is told of changed samples
    pointed: tuple[str, ...]  # the classes or labels that operating points are of
    unlabelled: int  # the state of a class or label that a dataset does not have
    by_label: Mapping[str, ByLabel]  # [r, k] of what `under` gives; none of classes

    @property
    def outputs(self) -> int:
        """Logits of a sample."""

    def valid(self, labels: Labels) -> bool:
        """Whether labels [n, k] can be of this task."""

    def columns(self, labels: Labels) -> Mapping[str, Sequence[Any]]:
        """The columns of `index.parquet` that hold labels [n, k]."""

    def labels(self, table: Any) -> Labels:
        """The labels [n, k] that such columns hold; `ValueError` where they are none."""

    def probabilities(self, logits: Floats) -> Floats:
        """Of logits [n, k]."""

    def logits(self, probabilities: Floats) -> Floats:
        """Logits [n, k] that have these probabilities [n, k]."""

    def decide(self, probabilities: Floats, points: OperatingPoints) -> Any:
        """bool [n, k] of probabilities [n, k], by operating points if there are any."""

    def temperature(self, labels: Labels, logits: Floats) -> float:
        """By which to divide logits so that probabilities come true on this split."""

    def operating_points(self, labels: Labels, logits: Floats, by: Rule) -> OperatingPoints:
        """The probabilities to decide from, by a rule on this split; None if there are none."""

    def confusion(self, labels: Labels, logits: Floats, points: OperatingPoints) -> Any:
        """Counts of samples by truth and decision: [k, k] of classes, or [k, 2, 2] of labels."""

    def quick(self, labels: Labels, logits: Floats) -> dict[str, float]:
        """Every metric without intervals, NaN where it is undefined."""

    def evaluate(
        self, labels: Labels, logits: Floats, patients: Sequence[str], points: OperatingPoints
    ) -> Judgement:
        """Every metric with its interval; `ValueError` for what cannot be judged."""

    def fewest(self, labels: Labels, patients: Sequence[str]) -> tuple[int, ...]:
        """Patients that an interval hangs on: of all samples, and where a label is judged its."""

    def wanted(self, points: OperatingPoints) -> tuple[Metric, ...]:
        """The metrics that `evaluate` gives, with those of operating points if there are any."""

    def under(
        self, labels: Labels, logits: Floats, points: OperatingPoints
    ) -> Callable[[Floats], Any]:
        """What the metrics' functions take, of multiplicities [r, n]; errors as `evaluate`."""

    def predictions(self, logits: Floats, points: OperatingPoints) -> Mapping[str, Any]:
        """What is said of new samples with logits [n, k], a column each."""

    def counts(self, table: Any) -> dict[str, int]:
        """How many samples of a table with such columns are of what kind; null is of none."""


TASKS: Mapping[str, Callable[[Sequence[str]], Task]] = {
    "multiclass": Multiclass, "multilabel": Multilabel,
}  # fmt: skip
METRICS = {
    metric.name: metric  # of two tasks' metrics of one name all but the function is the same
    for metric in (*multilabel_metrics.METRICS, *multiclass_metrics.metrics(2), *AT_THRESHOLD)
}


def of(name: str, classes: Sequence[str]) -> Task:
    """The task of that name."""
    return TASKS[name](tuple(classes))


def column(name: str) -> Column:
    """The metric and split that a history's column holds: `val_auroc`, of any task."""
    split, _, metric = name.partition("_")
    return Column(name, split, STRESS if metric == STRESS.name else METRICS[metric])


def check_select(name: str, task: Task, stress: bool = False) -> None:
    """Raise `UserError` that names the nearest where `train.select` is no metric of the task.

    With `train.stress` the score under stress is one.
    """
    known = [f"val_{metric.name}" for metric in (*task.metrics, *([STRESS] if stress else []))]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"train.select={name}: the task {task.name} has no such metric; {hint}")

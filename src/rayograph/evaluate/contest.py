"""Two models beside each other: the difference of a metric, and tests of it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph.runs.evaluations import Evaluation
from rayograph.task import ABSENT, PRESENT, Labels, Metric, Task, paired
from rayograph.task.metric import Floats
from rayograph.task.paired import McNemar, Test


@dataclass(frozen=True)
class Contest:
    """How a model differs from the first; `p_holm` is corrected for how many were compared."""

    test: Test
    p_holm: float | None
    delong: Test | None  # of the AUROC of two classes, or of a label
    mcnemar: McNemar | None  # of the decisions

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` prints it."""
        return {
            "difference": asdict(self.test.difference),
            "p": self.test.p,
            "p_holm": self.p_holm,
            "delong": self.delong and {**asdict(self.delong.difference), "p": self.delong.p},
            "mcnemar": self.mcnemar and asdict(self.mcnemar),
        }


class Judge:
    """A model's metric, and that of each label, under multiplicities [r, n]: [r, 1 + labels]."""

    def __init__(
        self, task: Task, metric: Metric, labels: Labels, logits: Floats, of: Evaluation
    ) -> None:
        self.task, self.metric, self.labels = task, metric, labels
        self.under = task.under(labels, logits, of.operating_points)
        self.probabilities = task.probabilities(logits)
        self.decided = task.decide(self.probabilities, of.operating_points)

    def __call__(self, weights: Floats) -> Floats:
        """The values under these multiplicities."""
        under = self.under(weights)
        columns = [self.metric.value(under)[:, None]]
        if self.metric.name in self.task.by_label:
            columns.append(self.task.by_label[self.metric.name](under))
        return np.concatenate(columns, axis=1)

    def right(self, label: int | None) -> npt.NDArray[np.bool_]:
        """Whether each sample [n] is decided right: of a label those of which it is known."""
        right: npt.NDArray[np.bool_] = np.asarray(self.decided == (self.labels == PRESENT))
        if label is None:
            return np.asarray(right.all(axis=1))
        return np.asarray(right[self.labels[:, label] >= ABSENT, label])


def contest(
    test: Test, p_holm: float | None, reference: Judge, other: Judge, label: int | None
) -> Contest:
    """With DeLong's and McNemar's tests, where there are such: of two classes, or of a label."""
    task = reference.task
    labelled = bool(task.by_label)
    column = label if labelled else (1 if len(task.pointed) == 1 else None)
    delong = None
    if reference.metric.name == "auroc" and column is not None:
        known = reference.labels[:, column] >= ABSENT
        truth = reference.labels[known, column] == PRESENT
        scores = (each.probabilities[known, column] for each in (reference, other))
        delong = paired.delong_test(truth, *scores)
    mean_of_labels = labelled and label is None
    mcnemar = None if mean_of_labels else paired.mcnemar(reference.right(label), other.right(label))
    return Contest(test, p_holm, delong, mcnemar)

"""Which films are worth a look: the most certain right, the most certain wrong, the least certain.

numpy alone: it is a function of a split's predictions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rayograph.task import ABSENT, PRESENT, Labels, OperatingPoints, Task
from rayograph.task.metric import Floats

EACH, MOST = 4, 48  # films in a group, and in all groups
KINDS = ("right", "wrong", "unsure")  # most certain and right, and wrong; least certain
EVEN = 0.5

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Films of one kind and one class or label: their rows, and the output each is explained by."""

    kind: str
    name: str
    rows: tuple[int, ...]
    outputs: tuple[int, ...]


def margins(task: Task, probabilities: Floats, points: OperatingPoints) -> Floats:
    """How far [n, k] each probability is on the side of "yes", in log-odds; 0 is undecided.

    From the operating point, or else from 0.5; of more than two classes, from the likeliest of the
    others.
    """
    tiny = np.finfo(np.float64).tiny
    log = np.log(np.maximum(probabilities, tiny))
    if task.by_label:  # labels, each by itself
        starts = points or [None] * len(task.classes)
        odds = log - np.log(np.maximum(1 - probabilities, tiny))
        return np.asarray(odds - _log_odds(starts))
    if len(task.classes) == 2:
        yes = log[:, 1] - log[:, 0] - _log_odds(points or [None])
        return np.stack([-yes, yes], axis=1)
    others = np.stack([np.delete(log, i, axis=1).max(axis=1) for i in range(log.shape[1])], axis=1)
    return np.asarray(log - others)


def _log_odds(points: Sequence[float | None]) -> Floats:
    start = np.array([EVEN if point is None else point for point in points])
    start = np.clip(start, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(start) - np.log(1 - start))


def groups(
    task: Task, labels: Labels, probabilities: Floats, points: OperatingPoints, label: str | None
) -> list[Group]:
    """Up to four films of each kind for each class or label: at most 48, fewer of each if need be.

    Labels int8 [n, k], probabilities [n, k]. A class's films are explained by the decision, a
    label's by that label, and all by `label` where it is given (of labels these groups alone are
    made). Where there are more than 16 labels, those with most films are taken. Of equally certain
    films the first are.
    """
    decided = np.asarray(task.decide(probabilities, points), dtype=bool)
    sides = margins(task, probabilities, points)
    apart = bool(task.by_label)
    wanted = _wanted(task, labels, label if apart else None)
    each = max(1, min(EACH, MOST // (len(KINDS) * len(wanted))))
    asked = None if label is None else task.classes.index(label)
    found = []
    for k in wanted:
        truth = labels[:, k] == PRESENT
        if apart:
            certain, right = np.abs(sides[:, k]), decided[:, k] == truth
            judged = labels[:, k] >= ABSENT
            shown = np.full(len(labels), k)
            good = judged & truth & right  # that nothing is there is right of most films
        else:
            certain, right = np.abs(sides).min(axis=1), decided[:, k]
            judged = truth
            shown = decided.argmax(axis=1)
            good = judged & right
        if asked is not None:
            shown = np.full(len(labels), asked)
        found += _kinds(task.classes[k], good, judged & ~right, judged, certain, shown, each)
    return found


def _wanted(task: Task, labels: Labels, label: str | None) -> list[int]:
    if label is not None:
        return [task.classes.index(label)]
    present = (labels == PRESENT).sum(axis=0)
    most = sorted(range(len(task.classes)), key=lambda k: -present[k])[: MOST // len(KINDS)]
    return sorted(most)


def _kinds(
    name: str,
    right: Bools,
    wrong: Bools,
    judged: Bools,
    certain: Floats,
    shown: npt.NDArray[np.int64],
    each: int,
) -> list[Group]:
    """The three groups of a class or label, without empty ones; no film is in two of them."""
    taken = np.zeros(len(certain), dtype=bool)
    found = []
    order: tuple[tuple[str, Bools, Callable[[Floats], Floats]], ...] = (
        ("right", right, np.negative), ("wrong", wrong, np.negative), ("unsure", judged, np.abs),
    )  # fmt: skip
    for kind, which, key in order:
        rows = np.flatnonzero(which & ~taken)
        rows = rows[np.argsort(key(certain[rows]), kind="stable")][:each]
        taken[rows] = True
        if len(rows):
            own = tuple(shown[rows].tolist())
            found.append(Group(kind, name, tuple(rows.tolist()), own))
    return found


def explained(
    task: Task, probabilities: Floats, points: OperatingPoints, rows: Sequence[int],
    label: str | None,
) -> Group:  # fmt: skip
    """Films that people chose: explained by `label`, or by what is most surely said of each."""
    sides = margins(task, probabilities, points)[list(rows)]
    outputs = sides.argmax(axis=1) if label is None else [task.classes.index(label)] * len(rows)
    return Group("chosen", "", tuple(rows), tuple(int(k) for k in outputs))

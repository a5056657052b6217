"""A model's logits fitted anew to a few films of another place, and what that would give there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rayograph.task.estimate import CONFIDENCE, Estimate
from rayograph.task.labels import ABSENT, MISSING, PRESENT, Labels
from rayograph.task.metric import Floats, Metric
from rayograph.task.operating import OperatingPoints, Rule

if TYPE_CHECKING:
    from rayograph.task import Task

SIZES = (20, 50, 100, 200)  # films that somebody might label
REPETITIONS = 100
SCALE, BIAS = 1.0, 3.0  # deviations of the prior: of the logarithm of the scale, and of a bias
STEEPEST = 5.0  # the largest logarithm of a scale
JUDGED = ("brier", "loss", "ece")  # of probabilities; those that the task has
DECIDED = ("sensitivity", "specificity")


@dataclass(frozen=True)
class Recalibration:
    """Logits [n, k] become `scale * logits + bias`; both [k], and no scale is below 0.

    The scale is the inverse of a temperature. Of classes it is the same for all.
    """

    scale: Floats
    bias: Floats

    def __call__(self, logits: Floats) -> Floats:
        """The logits [n, k] after it."""
        return logits * self.scale + self.bias


@dataclass(frozen=True)
class Gain:
    """What recalibration on `films` films gives on the others: mean and range of repetitions.

    The range has 95 % of the repetitions in it; 0 films is the model as it is, on all of them.
    """

    films: int
    repetitions: int
    metrics: dict[str, Estimate]


def fit(task: "Task", labels: Labels, logits: Floats) -> Recalibration:
    """The recalibration that labels [n, k] of n films suggest for logits [n, k].

    The most probable scale and biases where the logarithm of the scale is normal around 0 with a
    deviation of 1 and each bias with one of 3: a few films, or films of one class only, move a
    model a little, many move it as far as they say. Sources: Platt, Probabilistic outputs for
    support vector machines (1999); Guo et al., On calibration of modern neural networks (2017).
    """
    k = len(task.classes)
    if task.unlabelled != MISSING:
        found = _fit(_of_classes(labels, logits), k)
        return Recalibration(np.full(k, np.exp(found[0])), found[1:])
    columns = [_fit(_of_label(labels[:, i], logits[:, i]), 1) for i in range(k)]
    scales, biases = np.array(columns).T
    return Recalibration(np.exp(scales), biases)


Loss = Callable[[Floats], tuple[float, Floats]]


def _fit(loss: Loss, biases: int) -> Floats:
    """Where the loss and the prior's are least: the scale's logarithm, then the biases."""
    from scipy.optimize import minimize

    widths = np.array([SCALE, *[BIAS] * biases])

    def penalised(at: Floats) -> tuple[float, Floats]:
        value, slope = loss(at)
        return value + float(np.sum((at / widths) ** 2) / 2), slope + at / widths**2

    bounds = [(-STEEPEST, STEEPEST), *[(None, None)] * biases]
    start = np.zeros(1 + biases)
    found = minimize(penalised, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)


def _of_classes(labels: Labels, logits: Floats) -> Loss:
    """The summed cross-entropy of classes, and its slope."""
    from scipy.special import logsumexp

    truth = (labels == PRESENT).astype(np.float64)
    centred = logits - logits.max(axis=1, keepdims=True)

    def loss(at: Floats) -> tuple[float, Floats]:
        scaled = np.exp(at[0]) * centred
        moved = scaled + at[1:]
        logs = moved - logsumexp(moved, axis=1, keepdims=True)
        errors = np.exp(logs) - truth
        slope = np.array([np.sum(errors * scaled), *errors.sum(axis=0)])
        return -float(np.sum(truth * logs)), slope

    return loss


def _of_label(states: npt.NDArray[np.int8], logits: Floats) -> Loss:
    """The same of one label, over the films in which it is known."""
    from scipy.special import expit

    known = states >= ABSENT
    truth, values = (states[known] == PRESENT).astype(np.float64), logits[known]

    def loss(at: Floats) -> tuple[float, Floats]:
        scaled = np.exp(at[0]) * values
        moved = scaled + at[1]
        errors = expit(moved) - truth
        value = float(np.sum(np.logaddexp(0, np.where(truth > 0, -moved, moved))))
        return value, np.array([np.sum(errors * scaled), errors.sum()])

    return loss


def draws(
    patients: Sequence[str], films: int, repetitions: int, seed: int
) -> Iterator[npt.NDArray[np.bool_]]:
    """Which of n films are chosen, bool [n], each time at random: whole patients, in random order.

    As many patients as `films` films need, so that the last one may bring a few more.
    """
    names, owner = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(owner)
    generator = np.random.default_rng([seed, films])
    for _ in range(repetitions):
        order = generator.permutation(len(names))
        taken = 1 + int(np.searchsorted(sizes[order].cumsum(), films))
        chosen = np.zeros(len(names), dtype=bool)
        chosen[order[:taken]] = True
        yield chosen[owner]


def gains(
    task: "Task",
    labels: Labels,
    logits: Floats,
    patients: Sequence[str],
    points: OperatingPoints,
    by: Rule,
    sizes: Sequence[int] = SIZES,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> list[Gain]:
    """What recalibration and a new threshold would give, fitted to some films of n.

    Each time some films are chosen, patient by patient; scale, biases and the threshold (`by` the
    rule) are fitted to these and judged on the others. Sizes of more than half of the films are
    left out. The first entry is the model as it is. Where the chosen films suggest no threshold
    (they are all of one kind), the stored one stays.
    """
    found = [Gain(0, 1, _judge(task, labels, logits, logits, points))]
    for size in sizes:
        if 2 * size > len(labels):
            continue
        rows = []
        for chosen in draws(patients, size, repetitions, seed):
            rest = ~chosen
            if not rest.any():
                continue
            again = fit(task, labels[chosen], logits[chosen])(logits)
            own = _kept(task.operating_points(labels[chosen], logits[chosen], by), points)
            rows.append(_judge(task, labels[rest], logits[rest], again[rest], own))
        if rows:
            found.append(Gain(size, len(rows), _summed(rows)))
    return found


def _kept(suggested: OperatingPoints, stored: OperatingPoints) -> OperatingPoints:
    """The points that are suggested, and the stored ones where none is."""
    if suggested is None or stored is None:
        return stored if suggested is None else suggested
    pairs = zip(suggested, stored, strict=True)
    return tuple(old if new is None else new for new, old in pairs)


def _judge(
    task: "Task", labels: Labels, logits: Floats, again: Floats, points: OperatingPoints
) -> dict[str, Estimate]:
    """Metrics of the new probabilities, and of decisions.

    These are by thresholds of the old probabilities, which rank a label's films alike; without
    thresholds they are of the likeliest class, by the new ones.
    """
    one = np.ones((1, len(labels)))
    wanted = {metric.name: metric for metric in task.wanted(points)}
    of_new = task.under(labels, again, None)(one)
    found = {name: _value(wanted[name], of_new) for name in JUDGED if name in wanted}
    of_old = task.under(labels, logits, points)(one) if task.pointed and points else of_new
    for name in DECIDED:
        at = f"{name}_at_threshold"
        found[name] = _value(wanted.get(at, wanted[name]), of_old)
    return found


def _value(metric: Metric, resampled: object) -> Estimate:
    value = float(metric.value(resampled)[0])
    return Estimate(None if np.isnan(value) else value)


def _summed(rows: Sequence[dict[str, Estimate]]) -> dict[str, Estimate]:
    """Mean and range over the repetitions in which a metric is defined."""
    found = {}
    for name in rows[0]:
        values = [row[name].value for row in rows]
        defined = np.array([value for value in values if value is not None])
        if not len(defined):
            found[name] = Estimate(None)
            continue
        low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        found[name] = Estimate(float(defined.mean()), float(low), float(high))
    return found

"""Metrics of a multiclass classifier: pure functions of its predictions, class 0 the negative one.

scikit-learn is the reference for every value: tests/property/test_metrics.py holds them equal.
The arithmetic is here so that a thousand resamples share one sort, and a value and its interval
one code: scikit-learn 1.9 gives some perfect rankings an average precision of 1.0000000000000002.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.stats import binomtest

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.floating]

CONFIDENCE = 0.95
BLOCK = 2_000_000  # film weights held at a time: 16 MB, and a few temporaries of that size


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None is a value, or a bound, that is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with Wilson's score interval, all None without trials.

    Trials are taken as independent: with several films a patient the interval is too narrow.
    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209, by scipy's binomtest.
    """
    if trials == 0:
        return Estimate(None)
    interval = binomtest(int(successes), int(trials)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(int(successes) / int(trials), float(interval.low), float(interval.high))


def softmax(logits: AnyFloats) -> Floats:
    """Probabilities [n, k] in float64 of logits [n, k]; ValueError for unusable logits."""
    return np.asarray(special.softmax(_checked(logits), axis=1))


def decide(logits: AnyFloats, threshold: float | None = None) -> Integers:
    """The decided class [n] of each film: the largest logit, a tie to the lowest index.

    With a `threshold` (a probability, two classes only) a film is 1 where class 1's probability
    is at least that. ValueError for unusable logits or threshold.
    """
    logits = _checked(logits)
    if threshold is None:
        return np.asarray(np.argmax(logits, axis=1), dtype=np.int64)
    if logits.shape[1] != 2 or not 0 <= threshold <= 1:
        asked = f"threshold {threshold} for {logits.shape[1]} classes"
        raise ValueError(f"{asked}: give a probability from 0 to 1, and logits of two classes")
    return (softmax(logits)[:, 1] >= threshold).astype(np.int64)


def confusion(labels: Integers, decisions: Integers, k: int) -> Integers:
    """Counts [k, k] of films, rows the truth and columns the decision."""
    return np.bincount(labels * k + decisions, minlength=k * k).reshape(k, k).astype(np.int64)


def youden_threshold(labels: Integers, logits: AnyFloats) -> float | None:
    """The probability of class 1 that maximises sensitivity + specificity − 1.

    It is the midpoint between the best score on the ROC and the next lower distinct one (0 below
    the lowest), so that no film sits exactly on it; of equally good scores the highest is taken.
    None where a class is missing; ValueError unless there are two classes.
    Source: Youden, Cancer 3 (1950) 32.
    """
    logits = _checked(logits, labels)
    if logits.shape[1] != 2:
        raise ValueError(f"Youden's threshold needs two classes, not {logits.shape[1]}")
    scores, place = np.unique(softmax(logits)[:, 1], return_inverse=True)
    positives = np.bincount(place, weights=labels, minlength=len(scores))[::-1]
    negatives = np.bincount(place, weights=1 - labels, minlength=len(scores))[::-1]
    if not positives.any() or not negatives.any():
        return None
    # Whole numbers (J × positives × negatives): equally good scores are then exactly equal.
    gain = positives.cumsum() * negatives.sum() - negatives.cumsum() * positives.sum()
    best = len(scores) - 1 - int(np.argmax(gain))
    lower, upper = np.append(0.0, scores)[best : best + 2]
    # Between neighbouring floats the midpoint rounds to one of them: it must not be the lower.
    return float(max((lower + upper) / 2, np.nextafter(lower, upper)))


def quick(labels: Integers, logits: AnyFloats) -> dict[str, float]:
    """What an epoch's line needs: loss, accuracy and auroc (NaN where undefined), no intervals.

    Labels [n], logits [n, k]; ValueError as `evaluate`.
    """
    point = _metrics(labels, _checked(logits, labels), np.ones((1, len(labels))))
    return {name: point[name].item() for name in ("loss", "accuracy", "auroc")}


def evaluate(
    labels: Integers,
    logits: AnyFloats,
    patients: Sequence[str],
    *,
    threshold: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Every metric of labels [n], logits [n, k] and the films' patients [n], with its interval.

    Two classes: of class 1; a `threshold` (from another split) adds its sensitivity and
    specificity. More: macro averages, one against the rest, over the classes that occur with both
    values; a class never decided has precision 0. Plain proportions have Wilson's interval, the
    rest the percentile interval of a bootstrap over patients; that is None with one patient, or
    where the metric is undefined in more than half of the resamples (others are left out).
    ValueError for no films, one class, a label out of range, unequal lengths, or logits that are
    NaN or infinite. Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13.
    """
    logits = _checked(logits, labels, patients)
    point = _metrics(labels, logits, np.ones((1, len(labels))))
    count = resamples if len(set(patients)) > 1 else 0
    draws = [_metrics(labels, logits, w) for w in _multiplicities(patients, count, seed)]
    estimates = {x: _interval(y.item(), [draw[x] for draw in draws]) for x, y in point.items()}
    table = confusion(labels, decide(logits), logits.shape[1])
    estimates["accuracy"] = wilson(np.trace(table), len(labels))
    if len(table) == 2:
        estimates["sensitivity"] = wilson(table[1, 1], table[1].sum())
        estimates["specificity"] = wilson(table[0, 0], table[0].sum())
        estimates["precision"] = wilson(table[1, 1], table[:, 1].sum())
    if threshold is not None:
        table = confusion(labels, decide(logits, threshold), 2)
        estimates["sensitivity_at_threshold"] = wilson(table[1, 1], table[1].sum())
        estimates["specificity_at_threshold"] = wilson(table[0, 0], table[0].sum())
    return estimates


def _metrics(labels: Integers, logits: Floats, weights: Floats) -> dict[str, Floats]:
    """Each metric [r] under multiplicities [r, n], NaN where undefined for a class it averages."""
    n, k = logits.shape
    counts = np.bincount(labels, minlength=k)
    classes = np.array([1]) if k == 2 else np.flatnonzero((counts > 0) & (counts < n))
    truth = (labels[:, None] == classes).astype(np.float64)
    decisions = decide(logits)
    flags = (decisions[:, None] == classes).astype(np.float64)
    pairs = zip(truth.T, softmax(logits).T[classes], strict=True)
    areas = [_areas(of_class, scores, weights) for of_class, scores in pairs]
    auroc, average_precision = np.reshape(areas, (-1, 2, len(weights))).transpose(1, 2, 0)
    total = weights.sum(axis=1, keepdims=True)
    support, flagged, found = weights @ truth, weights @ flags, weights @ (truth * flags)
    by_class = {  # each [r, classes]
        "auroc": auroc,
        "average_precision": average_precision,
        "sensitivity": _ratio(found, support),
        "specificity": _ratio(total - support - flagged + found, total - support),
        "precision": found / np.maximum(flagged, 1),
        "f1": _ratio(2 * found, support + flagged),
    }
    absent = np.where(support > 0, 0.0, np.nan)
    means = {x: (y + absent).sum(axis=1) / (len(classes) or np.nan) for x, y in by_class.items()}
    losses = -special.log_softmax(logits, axis=1)[np.arange(n), labels]
    per_film = {"accuracy": decisions == labels, "loss": losses}
    return {x: weights @ y / total[:, 0] for x, y in per_film.items()} | means


def _areas(truth: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """AUROC [r] and average precision [r] under multiplicities [r, n], NaN with one class only.

    Equal to scikit-learn's roc_auc_score and average_precision_score with sample_weight: the
    first is the weighted Mann-Whitney statistic, a tie counting half; the second sums precision
    over the rises of recall, a tie being one rise. Truth [n] is 1 for a film of the class, else 0.
    """
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each distinct score
    climbing = weights[:, order]
    films = np.add.reduceat(climbing, starts, axis=1)
    positives = np.add.reduceat(climbing * truth[order], starts, axis=1)
    negatives = films - positives
    p, q = positives.sum(axis=1), negatives.sum(axis=1)
    below = negatives.cumsum(axis=1) - negatives
    flagged = films[:, ::-1].cumsum(axis=1)[:, ::-1]  # films at this score or above
    found = positives[:, ::-1].cumsum(axis=1)[:, ::-1]
    precision = found / np.maximum(flagged, 1)  # where nothing is flagged, nothing rises either
    auroc = _ratio((positives * (below + negatives / 2)).sum(axis=1), p * q)
    return auroc, _ratio((positives * precision).sum(axis=1), np.where(q > 0, p, 0))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Part / whole, NaN where the whole is zero."""
    return part / np.where(whole == 0, np.nan, whole)


def _multiplicities(patients: Sequence[str], count: int, seed: int) -> Iterator[Floats]:
    """How often each film is drawn, [up to BLOCK / n, n] at a time, `count` resamples in all.

    Patients are drawn, in sorted order (that of the films does not matter), with all their films.
    """
    names, owner = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(owner))
    for start in range(0, count, rows):
        block = min(rows, count - start)
        drawn = generator.integers(len(names), size=(block, len(names)))
        drawn += np.arange(block)[:, None] * len(names)
        times = np.bincount(drawn.ravel(), minlength=block * len(names))
        yield times.reshape(block, len(names))[:, owner].astype(np.float64)


def _interval(value: float, draws: list[Floats]) -> Estimate:
    """The percentile interval of the resamples in which the metric is defined."""
    if np.isnan(value):
        return Estimate(None)
    drawn = np.concatenate([*draws, np.empty(0)])
    defined = drawn[~np.isnan(drawn)]
    if not len(defined) or 2 * len(defined) < len(drawn):
        return Estimate(value)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))


def _checked(
    logits: AnyFloats, labels: Integers | None = None, patients: Sequence[str] | None = None
) -> Floats:
    """The logits [n, k] in float64, or a ValueError that says what is wrong with the films."""
    films, k = logits.shape
    if films == 0:
        raise ValueError("no films: a metric needs at least one")
    if k < 2:
        raise ValueError(f"logits of {k} class: a classifier needs at least 2")
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {films} films have a NaN or infinite logit, the first at index "
            f"{bad[0]}: a model that returns NaN has diverged, lower optim.lr"
        )
    for name, column in (("labels", labels), ("patients", patients)):
        if column is not None and len(column) != films:
            raise ValueError(f"{len(column)} {name} for {films} films: give one a film")
    if labels is not None and not 0 <= labels.min() <= labels.max() < k:
        worst = int(np.argmax((labels < 0) | (labels >= k)))
        raise ValueError(f"label {labels[worst]} at index {worst}: use 0 to {k - 1}")
    return logits.astype(np.float64, copy=False)

"""Models judged on the same samples: the difference of two, its interval, and tests of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rayograph.task.estimate import NORMAL, RESAMPLES, Estimate, multiplicities, percentile
from rayograph.task.metric import Floats

Bools = npt.NDArray[np.bool_]
FEW = 25  # discordant pairs, below which McNemar's test is the exact one


@dataclass(frozen=True)
class Test:
    """A difference with its 95 % interval and a two-sided p; None is what is not defined."""

    difference: Estimate
    p: float | None


@dataclass(frozen=True)
class McNemar:
    """Decisions of two models about the same samples.

    `gained` are those that the second model alone decides right, `lost` those that the first does.
    """

    gained: int
    lost: int
    p: float
    kind: Literal["exact binomial", "χ² with continuity correction"]


def bootstrap(
    judges: Sequence[Callable[[Floats], Floats]],
    patients: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """What m judges find in the same resamples of patients: [resamples, m, …].

    A judge takes multiplicities [r, n] and returns [r, …]; 2 MB of multiplicities are held at a
    time. There are no resamples of a single patient: [0, m, …].
    """
    blocks = [
        np.stack([judge(weights) for judge in judges], axis=1)
        for weights in multiplicities(patients, resamples, seed)
    ]
    if blocks:
        return np.concatenate(blocks)
    whole = np.stack([judge(np.ones((1, len(patients)))) for judge in judges], axis=1)
    return whole[:0]


def difference(reference: float, other: float, drawn: Floats, patients: int) -> Test:
    """Other less reference; `drawn` [r, 2] holds both in the same resamples, in that order.

    The interval is that of `estimate.percentile`, which says what `patients` are. p is twice the
    smaller share of resamples in which the difference is at most, or at least, 0, the sample itself
    counted as one of them (so it is never below 2 / (r + 1)); it is None where the interval is.
    Source: Davison & Hinkley, Bootstrap
    Methods and their Application (1997), ch. 4 and 5.
    """
    if np.isnan(reference) or np.isnan(other):
        return Test(Estimate(None), None)
    differences = drawn[:, 1] - drawn[:, 0]
    found = percentile(other - reference, [differences], patients)
    if not found.bounded:
        return Test(found, None)
    defined = differences[~np.isnan(differences)]
    tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return Test(found, float(min(1.0, 2 * (tail + 1) / (len(defined) + 1))))


def delong(truth: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """AUROC [m] of m models and their covariance [m, m], of truth [n] and scores [m, n].

    NaN where there are fewer than two samples of a kind. Samples are taken as independent: several
    of one patient make the true variance larger. By midranks, O(m n log n). Sources: DeLong,
    DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; Sun and Xu, IEEE Signal Processing Letters
    21 (2014) 1389.
    """
    from scipy.stats import rankdata

    of, rest = np.count_nonzero(truth), np.count_nonzero(~truth)
    if min(of, rest) < 2:
        return np.full(len(scores), np.nan), np.full((len(scores), len(scores)), np.nan)
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, truth] - rankdata(scores[:, truth], axis=1)) / rest
    below = 1 - (ranks[:, ~truth] - rankdata(scores[:, ~truth], axis=1)) / of
    covariance = np.atleast_2d(np.cov(above)) / of + np.atleast_2d(np.cov(below)) / rest
    return above.mean(axis=1), covariance


def delong_test(truth: Bools, reference: Floats, other: Floats) -> Test:
    """DeLong's test of the AUROC of other less reference, scores [n] each.

    None where there are fewer than two samples of a kind, and no p or interval where the
    difference has no variance (two models that rank alike).
    """
    from scipy.special import ndtr

    areas, covariance = delong(truth, np.stack([reference, other]))
    if np.isnan(areas).any():
        return Test(Estimate(None), None)
    value = float(areas[1] - areas[0])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance <= 1e-15:  # rounding of a difference that is always the same
        return Test(Estimate(value), None)
    deviation = float(np.sqrt(variance))
    half = NORMAL * deviation
    p = float(2 * ndtr(-abs(value) / deviation))
    return Test(Estimate(value, value - half, value + half), p)


def mcnemar(reference: Bools, other: Bools) -> McNemar:
    """McNemar's test of whether each of n decisions was right, [n] of each model.

    Exact (binomial) below 25 discordant pairs, else χ² with Edwards's continuity correction.
    Samples are taken as independent. Source: McNemar, Psychometrika 12 (1947) 153; Edwards,
    Psychometrika 13 (1948) 185.
    """
    from scipy.special import chdtrc
    from scipy.stats import binomtest

    gained = int(np.count_nonzero(other & ~reference))
    lost = int(np.count_nonzero(reference & ~other))
    pairs = gained + lost
    if pairs < FEW:
        p = float(binomtest(gained, pairs).pvalue) if pairs else 1.0
        return McNemar(gained, lost, p, "exact binomial")
    statistic = max(abs(gained - lost) - 1, 0) ** 2 / pairs
    return McNemar(gained, lost, float(chdtrc(1, statistic)), "χ² with continuity correction")


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p values after Holm's correction for how many there are; None stays, and does not count.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65.
    """
    found: list[float | None] = [None] * len(ps)
    least = 0.0
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        found[place] = least
    return found


def under(judge: Callable[[Floats], Any], value: Callable[[Any], Floats]) -> Any:
    """A judge for `bootstrap`: a metric's function of what a task's `under` gives."""
    return lambda weights: value(judge(weights))

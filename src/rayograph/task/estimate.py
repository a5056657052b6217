"""A value with its 95 % interval: Wilson's of a proportion, or a bootstrap over patients."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
RESAMPLES = 2000
CONFIDENCE = 0.95
NORMAL = 1.959964  # standard deviations, of as much of a normal distribution
BLOCK = 250_000  # sample weights held at a time: 2 MB, and a few temporaries, which caches hold


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None is a value, or a bound, that is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether value and interval are both there."""
        return None not in (self.value, self.low, self.high)


@dataclass(frozen=True)
class Judgement:
    """Every metric by its name; and of a task with labels each label's, by its name."""

    metrics: Mapping[str, Estimate]
    labels: Mapping[str, Mapping[str, Estimate]]


def hanley_mcneil(auroc: float, positives: int, negatives: int) -> float | None:
    """Half the width of the 95 % interval that an AUROC will have; None without one of both kinds.

    Of films that are independent; several of one patient make it wider.
    Source: Hanley and McNeil, Radiology 143 (1982) 29.
    """
    if not positives or not negatives:
        return None
    both_above, both_below = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc)
    variance += (positives - 1) * (both_above - auroc**2)
    variance += (negatives - 1) * (both_below - auroc**2)
    return NORMAL * float(np.sqrt(variance / (positives * negatives)))


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with Wilson's score interval, all None without trials.

    Trials are taken as independent: with several films a patient the interval is too narrow.
    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209, by scipy's binomtest.
    """
    from scipy.stats import binomtest  # 0.5 s, which no command waits for that judges nothing

    if trials == 0:
        return Estimate(None)
    interval = binomtest(int(successes), int(trials)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(int(successes) / int(trials), float(interval.low), float(interval.high))


def proportion(right: Bools, counted: Bools, patients: Sequence[str]) -> Estimate:
    """The share of the counted samples that is right, [n] each, with Wilson's interval.

    With several counted samples of a patient it is Wilson's for their effective number: n divided
    by the design effect, which is the variance of the share between patients over that of
    independent samples, at least 1. It is less by the square of the normal over Student's quantile
    for so many patients, and where all are right, or none, it is the number of patients. Sources:
    Wilson as above; Korn and Graubard, Survey Methodology 24 (1998) 193.
    """
    from scipy.stats import t

    hits, n = int((right & counted).sum()), int(counted.sum())
    names = np.asarray(patients, dtype=np.str_)[counted]
    owner = np.unique(names, return_inverse=True)[1]
    sizes = np.bincount(owner)
    count = len(sizes)
    if count == n:
        return wilson(hits, n)
    value = hits / n
    effective = float(count)
    if 0 < hits < n and count > 1:
        apart = np.bincount(owner, weights=right[counted]) - value * sizes
        between = count / (count - 1) * float(np.square(apart).sum()) / n**2
        independent = value * (1 - value) / n
        effective = n / max(1.0, between / independent)
        effective *= (NORMAL / float(t.ppf((1 + CONFIDENCE) / 2, count - 1))) ** 2
    return score_interval(value, effective)


def score_interval(value: float, trials: float) -> Estimate:
    """Wilson's score interval of a share of so many trials, which need be no whole number."""
    spread = NORMAL**2 / trials
    middle = (value + spread / 2) / (1 + spread)
    half = NORMAL / (1 + spread) * np.sqrt(value * (1 - value) / trials + spread / (4 * trials))
    return Estimate(value, float(max(0.0, middle - half)), float(min(1.0, middle + half)))


def percentile(value: float, draws: Sequence[Floats], patients: int) -> Estimate:
    """The expanded percentile interval of the resamples [r] in which a metric is defined.

    A bootstrap of few is too narrow; so it reaches as much further as Student's interval of a mean
    of so many `patients`, those of the rarer kind (`rarest`), reaches further than a plain one.
    None where the metric is undefined in more than half of the resamples, or there are none.
    Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13; Hesterberg, Am.
    Stat. 69 (2015) 371.
    """
    from scipy.stats import norm, t

    if np.isnan(value):
        return Estimate(None)
    drawn = np.concatenate([*draws, np.empty(0)])
    defined = drawn[~np.isnan(drawn)]
    if not len(defined) or 2 * len(defined) < len(drawn):
        return Estimate(value)
    outside = (1 - CONFIDENCE) / 2 if patients > 1 else 0.0
    if patients > 1:
        reach = np.sqrt(patients / (patients - 1)) * t.ppf(outside, patients - 1)
        outside = float(norm.cdf(reach))
    low, high = np.quantile(defined, [outside, 1 - outside])
    return Estimate(value, float(low), float(high))


def rarest(
    kinds: npt.NDArray[np.integer], patients: Sequence[str] | npt.NDArray[np.integer]
) -> int:
    """Patients of the rarest of the kinds that occur; kinds [n], negative ones are not counted."""
    names = np.asarray(patients)
    found = [len(np.unique(names[kinds == kind])) for kind in np.unique(kinds[kinds >= 0])]
    return min(found, default=0)


def multiplicities(patients: Sequence[str], count: int, seed: int) -> Iterator[Floats]:
    """How often each sample is drawn, [up to BLOCK / n, n] at a time, `count` resamples in all.

    Patients are drawn, in sorted order (that of the samples does not matter), with all their
    samples; none are drawn of a single patient.
    """
    names, owner = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(owner))
    for start in range(0, count if len(names) > 1 else 0, rows):
        block = min(rows, count - start)
        drawn = generator.integers(len(names), size=(block, len(names)))
        drawn += np.arange(block)[:, None] * len(names)
        times = np.bincount(drawn.ravel(), minlength=block * len(names))
        yield times.reshape(block, len(names))[:, owner].astype(np.float64)

"""One recipe trained with several seeds: its mean, and an interval that has both chances."""

from dataclasses import dataclass

import numpy as np

from rayograph.task.estimate import CONFIDENCE, Estimate
from rayograph.task.metric import Floats


@dataclass(frozen=True)
class Seeds:
    """`mean` of the seeds' values with its interval; `deviation` between seeds (n - 1).

    `by_seed` and `by_films` are the parts of the mean's standard error that each chance has.
    """

    mean: Estimate
    deviation: float | None
    by_seed: float | None = None
    by_films: float | None = None


def seeds(values: Floats, drawn: Floats, patients: int) -> Seeds:
    """What a recipe reaches, over seeds and films, of the values [s] of s ≥ 2 runs.

    `drawn` [r, s] holds the runs' values in the same resamples of patients. A run's value is taken
    as mean + seed + films + their interaction, and the variance of the mean as

        V = F + S,    S = max(0, d² - e²) / s

    F is the variance over resamples of the mean of the s runs: of the films, with an s-th of the
    interaction. d² is the variance between the runs (s - 1), of the seed with the interaction; e²
    is the interaction alone, that is the mean over runs of the variance over resamples of (run less
    mean of the runs), times s / (s - 1); so it is not counted twice. The interval is mean ±
    t √V, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2 (1946) 110):
    V² / (F² / (patients - 1) + D² / (s - 1)), D = min(d² / s, V). Percentiles over few seeds drawn
    with replacement would be too narrow: of five, they lack a fifth of the variance and have no t.
    """
    from scipy.stats import t

    if np.isnan(values).any():
        return Seeds(Estimate(None), None)
    count, mean = len(values), float(values.mean())
    between = float(values.var(ddof=1))
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    if len(drawn) < 2 or patients < 2:
        return Seeds(Estimate(mean), between**0.5)
    means = drawn.mean(axis=1)
    films = float(means.var(ddof=1))
    apart = (drawn - means[:, None]).var(axis=0, ddof=1).mean() * count / (count - 1)
    seed = max(0.0, between - float(apart)) / count
    whole = films + seed
    if whole == 0:
        return Seeds(Estimate(mean, mean, mean), between**0.5, 0.0, 0.0)
    noise = films**2 / (patients - 1) + min(between / count, whole) ** 2 / (count - 1)
    half = float(t.ppf((1 + CONFIDENCE) / 2, whole**2 / noise)) * whole**0.5
    return Seeds(Estimate(mean, mean - half, mean + half), between**0.5, seed**0.5, films**0.5)

"""What a decision means where so many have it: predictive values at stated prevalences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rayograph.errors import UserError
from rayograph.task.estimate import (
    RESAMPLES,
    Estimate,
    multiplicities,
    percentile,
    proportion,
    rarest,
)
from rayograph.task.labels import ABSENT, PRESENT, Labels
from rayograph.task.metric import Floats

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Predictive:
    """Of those called positive the share that is, and of those called negative the share that is.

    Where `prevalence` of all patients are positive.
    """

    prevalence: float
    ppv: Estimate
    npv: Estimate


def check(prevalences: Sequence[float]) -> None:
    """`UserError` where a prevalence is no share above 0 and below 1."""
    for each in prevalences:
        if not 0 < each < 1:
            raise UserError(f"--prevalence {each:g}: a share above 0 and below 1, such as 0.05")


def predictive(
    labels: Labels,
    decided: Bools,
    patients: Sequence[str],
    named: Mapping[str, int],
    prevalences: Sequence[float],
    resamples: int = RESAMPLES,
) -> dict[str, list[Predictive]]:
    """Of each name's column, the predictive values: labels and decisions [n, k], patients [n].

    By Bayes' rule from sensitivity and specificity, which are taken to be the same there. The
    interval is by bootstrap over patients; there is none where the films have no positive, or no
    negative, that was decided wrong: nothing is known then of how rare such errors are. Source:
    Altman and Bland, BMJ 309 (1994) 102.
    """
    columns = np.array([*named.values()], np.intp)
    own, called = labels[:, columns], decided[:, columns]
    parts = np.concatenate(
        [
            (own == truth) & wanted
            for truth, wanted in (
                (PRESENT, called), (PRESENT, True), (ABSENT, ~called), (ABSENT, True),
            )
        ],
        axis=1,
    ).astype(np.float64)  # fmt: skip
    whole = _rates(parts.sum(axis=0)[None])
    fewest = [rarest(column, patients) for column in own.T]
    blocks = [_rates(weights @ parts) for weights in multiplicities(patients, resamples, 0)]
    drawn = np.concatenate([*blocks, np.empty((0, *whole.shape[1:]))])
    return {
        name: [
            Predictive(
                share,
                ppv=_estimate(ppv, share, whole[:, :, i], drawn[:, :, i], fewest[i]),
                npv=_estimate(npv, share, whole[:, :, i], drawn[:, :, i], fewest[i]),
            )
            for share in prevalences
        ]
        for i, name in enumerate(named)
    }


def ppv(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """The positive predictive value by Bayes' rule; NaN where nothing is called positive."""
    true = sensitivity * prevalence
    return _share(true, (1 - specificity) * (1 - prevalence))


def npv(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """The negative predictive value by Bayes' rule; NaN where nothing is called negative."""
    return _share(specificity * (1 - prevalence), (1 - sensitivity) * prevalence)


def _share(part: Floats, rest: Floats) -> Floats:
    return part / np.where(part + rest == 0, np.nan, part + rest)


def _rates(counts: Floats) -> Floats:
    """Sensitivity and specificity [r, 2, names] of counts [r, 4 names]."""
    found, positive, cleared, negative = np.split(counts, 4, axis=1)
    return np.stack([_share(found, positive - found), _share(cleared, negative - cleared)], axis=1)


def _estimate(
    of: Callable[[Floats, Floats, float], Floats],
    share: float,
    whole: Floats,
    drawn: Floats,
    fewest: int,
) -> Estimate:
    """A predictive value of sensitivity and specificity, [1, 2] of all films and [r, 2] drawn."""
    value, draws = (of(rates[:, 0], rates[:, 1], share) for rates in (whole, drawn))
    found = percentile(value.item(), [draws], fewest)
    return found if found.low != found.high else Estimate(found.value)


def rates(
    labels: Labels, decided: Bools, patients: Sequence[str], named: Mapping[str, int]
) -> dict[str, dict[str, Estimate]]:
    """Of each name's column the sensitivity and specificity of decisions [n, k]."""
    return {
        name: {
            metric: proportion(decided[:, i] == (truth == PRESENT), labels[:, i] == truth, patients)
            for metric, truth in (("sensitivity", PRESENT), ("specificity", ABSENT))
        }
        for name, i in named.items()
    }

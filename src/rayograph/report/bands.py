"""95 % bands of ROC and precision-recall curves, by the bootstrap over patients that metrics have.

At each of a hundred fixed places along x (1 − specificity, or recall) the 2.5 and the 97.5 % point
of the resampled curves: pointwise, so that a whole curve may leave its band somewhere. Source:
vertical averaging, Fawcett, Pattern Recognition Letters 27 (2006) 861.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rayograph.task.estimate import CONFIDENCE, multiplicities

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Band = tuple[Floats, Floats]  # bounds [101] at the places of `GRID`

GRID = np.linspace(0, 1, 101)
RESAMPLES, FEW_RESAMPLES, SEED = 500, 200, 0
WORK = 10_000_000  # films drawn, above which fewer resamples are: many films have narrow bands
FEWEST = 5  # films of a kind, with fewer of which a band would say more than is known


@dataclass(frozen=True)
class Bands:
    """Of a class's ROC and of its precision by recall; None where most resamples have no curve."""

    roc: Band | None
    precision: Band | None


def bands(
    truth: Bools, scores: Floats, patients: Sequence[str], known: Bools | None = None
) -> list[Bands]:
    """The bands of each column of truth [n, k] and scores [n, k], of films of patients [n].

    Of several labels `known` [n, k] says which films a label is known of.
    """
    drawn: list[list[tuple[Floats, Floats]]] = [[] for _ in scores.T]
    rows = np.ones_like(truth) if known is None else known
    count = max(FEW_RESAMPLES, min(RESAMPLES, WORK // max(len(truth), 1)))
    for weights in multiplicities(patients, count, SEED):
        for found, own, score, use in zip(drawn, truth.T, scores.T, rows.T, strict=True):
            if use.any():
                found.append(curves(own[use], score[use], weights[:, use]))
    return [Bands(*(_band([pair[kind] for pair in found]) for kind in (0, 1))) for found in drawn]


def curves(truth: Bools, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Sensitivity by 1 − specificity, and precision by recall: [r, 101] each, at `GRID`.

    Of truth [n] and scores [n] under multiplicities [r, n]. Sensitivity is the greatest that a
    threshold gives, linear between thresholds; precision is that of the highest threshold with at
    least the recall. A resample with films of one kind only is NaN.
    """
    order = np.argsort(-scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))  # of each distinct score
    climbing = weights[:, order]
    found = np.add.reduceat(climbing * truth[order], starts, axis=1).cumsum(axis=1)
    flagged = np.add.reduceat(climbing, starts, axis=1).cumsum(axis=1)
    rises = np.full((len(weights), len(GRID)), np.nan)
    precise = rises.copy()
    for row, (hits, called) in enumerate(zip(found, flagged, strict=True)):
        positives, negatives = hits[-1], called[-1] - hits[-1]
        if positives and negatives:
            false = np.concatenate(([0.0], (called - hits) / negatives))
            rises[row] = np.interp(GRID, false, np.concatenate(([0.0], hits / positives)))
            needed = np.maximum(GRID * positives - 1e-6, 1e-6)  # rounding; at 0 the first found
            at = np.minimum(np.searchsorted(hits, needed), len(hits) - 1)
            precise[row] = hits[at] / called[at]
    return rises, precise


def _band(blocks: Sequence[Floats]) -> Band | None:
    if not blocks:
        return None
    rows = np.concatenate(blocks)
    defined = rows[~np.isnan(rows).any(axis=1)]
    if 2 * len(defined) < len(rows):
        return None
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high

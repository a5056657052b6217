"""Where a model had better say nothing: probabilities too near to where its decision turns."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rayograph.task.metric import Floats
from rayograph.task.operating import OperatingPoints

Band = tuple[float, float]  # probabilities of class 1, both ends excluded
MOST = 0.2  # of the films, that may lie in the band
SPARED = 0.5  # of the error rate, that outside of it may be left


def chosen(
    pointed: Sequence[str],
    labels: npt.NDArray[np.integer],
    probabilities: Floats,
    points: OperatingPoints,
) -> Band | None:
    """The band around the operating point (0.5 without one) that labels [n, k] suggest.

    None but of two classes, one of which is `pointed`: labels are each decided by themselves.
    It is the smallest one, symmetric in log-odds, outside of which the error rate is at most half
    of that of all; where that takes more than a fifth of the samples, the band of that fifth.
    Source of the idea: Chow, IEEE Transactions on Information Theory 16 (1970) 41.
    """
    if len(pointed) != 1 or labels.shape[1] != 2:
        return None
    point = points[0] if points is not None and points[0] is not None else 0.5
    p = probabilities[:, 1]
    wrong = (p >= point) != (labels[:, 1] == 1)
    margins = np.abs(_log_odds(p) - _log_odds(point))
    order = np.argsort(margins, kind="stable")
    margins, wrong = margins[order], wrong[order]
    n = len(p)
    left = wrong[::-1].cumsum()[::-1] / np.arange(n, 0, -1)  # error rate without the nearest i
    most = int(MOST * n)
    enough = np.flatnonzero(left[: most + 1] <= SPARED * left[0])
    inside = int(enough[0]) if len(enough) else most
    if inside == 0:
        return (point, point)
    half = (margins[inside - 1] + margins[min(inside, n - 1)]) / 2
    low, high = (float(_probability(_log_odds(point) + side)) for side in (-half, half))
    return (low, high)


def inside(probabilities: Floats, band: Band) -> npt.NDArray[np.bool_]:
    """Whether probabilities [n, 2] lie in the band: bool [n]."""
    low, high = band
    return np.asarray((probabilities[:, 1] > low) & (probabilities[:, 1] < high))


def _log_odds(p: Floats | float) -> Floats:
    """Of probabilities, as far as float64 tells them from 0 and 1."""
    kept = np.clip(p, 1e-15, 1 - 1e-15)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _probability(log_odds: Floats | float) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds))))

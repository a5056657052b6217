"""Probabilities that come true: temperature scaling, and the expected calibration error.

One temperature for all classes, or labels: it changes no ranking, no likeliest class and no
AUROC, and a label of which validation has few positives cannot bend it.
Source of both: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rayograph.task.metric import Floats

BINS = 15
LEAST, MOST = 0.05, 20.0  # temperatures; a loss that falls up to one of them has no minimum
AnyFloats = npt.NDArray[np.floating]


def calibrated(logits: AnyFloats, temperature: float) -> npt.NDArray[np.float32]:
    """A network's logits [n, k] over a temperature, in float32 wherever it is done."""
    return np.asarray(logits, np.float32) / np.float32(temperature)


def fitted(loss: Callable[[float], float]) -> float:
    """The temperature at which a loss (mean negative log-likelihood) is least.

    1 where it has no minimum between 0.05 and 20: films that are told apart without an error ask
    for ever more certainty, a model that knows nothing for ever less. In 1 / temperature the loss
    is convex, so there is one minimum at most.
    """
    from scipy.optimize import minimize_scalar

    ends = (float(np.log(LEAST)), float(np.log(MOST)))
    found = minimize_scalar(
        lambda log: loss(float(np.exp(log))), bounds=ends, method="bounded", options={"xatol": 1e-4}
    )
    if min(found.x - ends[0], ends[1] - found.x) < 1e-2:
        return 1.0
    return float(np.float32(np.exp(found.x)))


def masses(scores: Floats) -> npt.NDArray[np.intp]:
    """Which of 15 bins of equal mass each score [n] falls in; equal scores fall in one bin.

    Equal mass, and not equal width: most films of a screening have a probability near 0, and bins
    of equal width would put nearly all into one and judge the others by a handful.
    """
    inner = np.quantile(scores, np.arange(1, BINS) / BINS) if len(scores) else np.zeros(0)
    return np.searchsorted(np.unique(inner), scores, side="right")


def calibration_error(truth: Floats, scores: Floats, weights: Floats) -> Floats:
    """The expected calibration error [r] of truth [n] (1 or 0), under multiplicities [r, n].

    The mean over films of how far their bin's mean probability is from its share of positives.
    NaN without films.
    """
    bins = masses(scores)
    columns = np.zeros((len(scores), BINS))
    columns[np.arange(len(scores)), bins] = truth - scores
    total = weights.sum(axis=1)
    error: Floats = np.abs(weights @ columns).sum(axis=1) / np.where(total == 0, np.nan, total)
    return error

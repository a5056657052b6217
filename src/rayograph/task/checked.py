"""Logits that can be judged."""

import numpy as np
import numpy.typing as npt

from rayograph.task.metric import Floats

AnyFloats = npt.NDArray[np.floating]


def checked(logits: AnyFloats, least: int) -> Floats:
    """The logits [n, k] in float64, or a ValueError that says what is wrong with them.

    `least` is the smallest k of the task.
    """
    samples, k = logits.shape
    if samples == 0:
        raise ValueError("no films: a metric needs at least one")
    if k < least:
        raise ValueError(f"logits of {k} class: a classifier needs at least {least}")
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} of {samples} films have a NaN or infinite logit, the first at index "
            f"{bad[0]}: a model that returns NaN has diverged, lower optim.lr"
        )
    return logits.astype(np.float64, copy=False)

"""The probability from which a sample counts as positive, as a split suggests it."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
OperatingPoints = tuple[float | None, ...] | None  # None of a label: nothing suggests one


def youden(truth: npt.NDArray[np.integer], scores: Floats) -> float | None:
    """The score that maximises sensitivity + specificity, of truth [n] (1 or 0) and scores [n].

    It is the midpoint between the best score on the ROC and the next lower distinct one (0 below
    the lowest), so that no sample sits exactly on it; of equally good scores the highest is taken.
    None where all samples are of one kind. Source: Youden, Cancer 3 (1950) 32.
    """
    scores, place = np.unique(scores, return_inverse=True)
    positives = np.bincount(place, weights=truth, minlength=len(scores))[::-1]
    negatives = np.bincount(place, weights=1 - truth, minlength=len(scores))[::-1]
    if not positives.any() or not negatives.any():
        return None
    # Whole numbers (J × positives × negatives): equally good scores are then exactly equal.
    gain = positives.cumsum() * negatives.sum() - negatives.cumsum() * positives.sum()
    best = len(scores) - 1 - int(np.argmax(gain))
    lower, upper = np.append(0.0, scores)[best : best + 2]
    # Between neighbouring floats the midpoint rounds to one of them: it must not be the lower.
    return float(max((lower + upper) / 2, np.nextafter(lower, upper)))

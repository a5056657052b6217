"""Simple statistics of packed films, for what deep features overlook: noise, ramps, negatives."""

import numpy as np
import numpy.typing as npt

TILES = 8  # of a side
LEVELS = 16  # of the histogram
WIDTH = TILES**2 + LEVELS + 2


def statistics(films: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Of films uint8 [n, P, P]: float32 [n, 82].

    The mean gray (0 to 1) of 8 × 8 tiles; the square root of a histogram of 16 gray levels (of
    which a difference is a Hellinger distance); the logarithm of the mean step to the neighbour
    below and to the one at the right.
    """
    n, side = films.shape[:2]
    starts = np.linspace(0, side, TILES, endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, side))
    sums = np.add.reduceat(films, starts, axis=1, dtype=np.int64)
    sums = np.add.reduceat(sums, starts, axis=2)
    tiles = (sums / np.outer(sizes, sizes) / 255).reshape(n, -1)
    bins = films.reshape(n, -1) // (256 // LEVELS)
    counts = np.stack([np.bincount(each, minlength=LEVELS) for each in bins])
    signed = films.astype(np.int16)
    steps = [np.abs(np.diff(signed, axis=axis)).mean(axis=(1, 2)) / 255 for axis in (1, 2)]
    edges = np.log(np.stack(steps, axis=1) + 1e-3)
    whole = [tiles, np.sqrt(counts / side**2), edges]
    return np.concatenate(whole, axis=1).astype(np.float32)

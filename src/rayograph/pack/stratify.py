"""Groups of samples dealt into subsets, so that each gets its share of every label."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def deal(
    groups: Ints,
    names: Sequence[str],
    labels: npt.NDArray[np.bool_],
    shares: Sequence[float],
    seed: int,
) -> Ints:
    """The subset of each sample [n]; whole groups [n], labels [n, k], subsets of these shares.

    Label by label, the rarest of those left first, each group goes where most of that label is
    wanted, of equals where most samples are. Groups come in the order of a hash of (seed, the
    group's smallest name), so the order of the samples does not matter.
    Source: Sechidis et al., ECML PKDD 2011, with groups in the place of samples.
    """
    found, owner = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(found), labels.shape[1]))
    np.add.at(counts, owner, labels.astype(np.float64))
    sizes = np.bincount(owner, minlength=len(found)).astype(np.float64)
    wanted = np.outer(shares, counts.sum(axis=0))  # of each label, by subset
    room = np.array(shares) * sizes.sum()
    subset = np.full(len(found), -1, np.int64)
    order = _order(owner, names, len(found), seed)

    def put(group: int, label: int | None) -> None:
        first = room if label is None else wanted[:, label]
        best = np.lexsort((np.arange(len(room)), -room, -first))[0]
        subset[group] = best
        wanted[best] -= counts[group]
        room[best] -= sizes[group]

    left = counts.copy()
    while left.any():
        totals = left.sum(axis=0)
        label = int(np.where(totals > 0, totals, np.inf).argmin())
        for group in order:
            if subset[group] < 0 and counts[group, label]:
                put(group, label)
                left[group] = 0
    for group in order:
        if subset[group] < 0:
            put(group, None)
    return subset[owner]


def _order(owner: Ints, names: Sequence[str], groups: int, seed: int) -> list[int]:
    smallest: dict[int, str] = {}
    for group, name in zip(owner.tolist(), names, strict=True):
        smallest[group] = min(name, smallest.get(group, name))
    ranks = [
        hashlib.sha256(f"{seed}:{smallest[group]}".encode()).digest() for group in range(groups)
    ]
    return sorted(range(groups), key=ranks.__getitem__)

"""Who is trained on and who is tested: splits by patient, as pure functions."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def unite(patients: Sequence[str], digests: Sequence[str]) -> Ints:
    """The group of each film: films of one patient, and identical files, share a group."""
    parent = list(range(len(patients)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for keys in (patients, digests):
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            parent[root(i)] = root(first.setdefault(key, i))
    return np.array([root(i) for i in range(len(patients))], dtype=np.int64)


def cut(groups: Ints, names: Sequence[str], labels: Ints, fraction: float, seed: int) -> Mask:
    """The films that a cut of `fraction` takes: whole groups, each class in proportion.

    A group counts under its highest label. Within a class the groups stand in the order of a hash
    of (seed, the group's smallest film name), so the cut does not depend on the order of the films,
    and films that come or go move few others. A class with two groups or more keeps one on each
    side.
    """
    taken = np.zeros(len(groups), dtype=bool)
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    strata: dict[int, list[list[int]]] = {}
    for films in members.values():
        strata.setdefault(int(labels[films].max()), []).append(films)
    for stratum in strata.values():
        stratum.sort(key=lambda films: _rank(seed, min(names[i] for i in films)))
        sizes = np.cumsum([len(films) for films in stratum])
        want = int(np.abs(np.concatenate([[0], sizes]) - fraction * sizes[-1]).argmin())
        if len(stratum) > 1:
            want = min(max(want, 1), len(stratum) - 1)
        for films in stratum[:want]:
            taken[films] = True
    return taken


def shared(keys: Sequence[str], splits: Sequence[str]) -> list[str]:
    """The keys (patients, or hashes of files) that occur in more than one split, sorted."""
    seen: dict[str, str] = {}
    return sorted(
        {k for k, split in zip(keys, splits, strict=True) if seen.setdefault(k, split) != split}
    )


def near_identical(
    hashes: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
    thumbs: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    bits: int = 3,
    correlation: float = 0.99,
) -> list[tuple[int, int]]:
    """Pairs (i of the first, j of the second set) that look the same.

    Candidates have difference hashes within `bits`; a pair is confirmed by the correlation of its
    64x64 thumbnails, because a hash alone nominates two thirds of honest paediatric films.
    """
    pairs: list[tuple[int, int]] = []
    for i, own in enumerate(hashes[0]):
        close = np.flatnonzero(np.bitwise_count(hashes[1] ^ own) <= bits)
        if len(close):
            agree = _standardised(thumbs[1][close]) @ _standardised(thumbs[0][i : i + 1])[0]
            pairs += [(i, int(j)) for j in close[agree > correlation]]
    return pairs


def difference_hash(gray9x8: npt.NDArray[np.uint8]) -> np.uint64:
    """64 bits of a film shrunk to 9 columns and 8 rows: is each pixel brighter than its neighbour.

    Source: N. Krawetz, "Kind of Like That", 2013.
    """
    bits = (gray9x8[:, 1:] > gray9x8[:, :-1]).ravel()
    return np.uint64(int.from_bytes(np.packbits(bits).tobytes(), "big"))


def _standardised(thumbs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return np.asarray(flat / norms, dtype=np.float32)


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()

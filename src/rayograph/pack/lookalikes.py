"""Films that look the same: a hash nominates, a correlation confirms."""

import numpy as np
import numpy.typing as npt
from PIL import Image

THUMB = 64  # side of the thumbnails that pairs are confirmed on


def looks(films: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """Hashes uint64 [n] and thumbnails uint8 [n, 64, 64] of films uint8 [n, size, size]."""
    small, shrink = [Image.fromarray(film) for film in films], Image.Resampling.BOX
    thumbs = [np.asarray(image.resize((THUMB, THUMB), shrink)) for image in small]
    hashes = [difference_hash(np.asarray(image.resize((9, 8), shrink))) for image in small]
    return np.array(hashes, np.uint64), np.array(thumbs, np.uint8).reshape(-1, THUMB, THUMB)


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

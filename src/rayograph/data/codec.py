"""How a film's pixels lie in a shard: as they are, or as a JPEG (libjpeg-turbo by simplejpeg)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

from rayograph.errors import Failure

Films = npt.NDArray[np.uint8]
BASELINE = b"\xc0"
BEFORE = (b"\xe0", b"\xdb", b"\xc4", BASELINE)  # segments that may come before and with it
HEAD = 1024  # bytes, in which they are
Decode = Callable[[int, Films], None]


def arrow_type(codec: str, size: int) -> Any:
    """The Arrow type of the column `image`: bytes of one length for `raw`, of any for `jpeg`."""
    return pa.binary(size * size) if codec == "raw" else pa.binary()


def expected_bytes(codec: str, size: int) -> int:
    """About what a packed film takes; a JPEG of quality 95 takes a quarter of its pixels."""
    return size * size if codec == "raw" else size * size // 4


def encode(films: Films, quality: int) -> list[bytes]:
    """Each of `films`, uint8 [n, size, size], as a gray JPEG."""
    return [simplejpeg.encode_jpeg(film[..., None], quality, "GRAY") for film in films]


def decode(data: Any, into: Films) -> None:
    """One JPEG into `into`, uint8 [size, size]; `ValueError` where it is none of that size.

    It must be of the kind that `encode` writes, baseline and gray: a progressive one may tell its
    decoder to go over all pixels once more for every few bytes.
    """
    height, width = _shape(bytes(data[:HEAD]))
    if (height, width) != into.shape:
        raise ValueError(f"a JPEG of {width}×{height} where {into.shape} should be")
    simplejpeg.decode_jpeg(data, "GRAY", buffer=into)


def _shape(head: bytes) -> tuple[int, int]:
    """Height and width that a baseline gray JPEG's header gives; `ValueError` for another kind."""
    place = 2
    while head[place : place + 1] == b"\xff" and (kind := head[place + 1 : place + 2]) in BEFORE:
        place += 2 + int.from_bytes(head[place + 2 : place + 4])
        if kind == BASELINE:
            frame = head[place - 11 : place]
            if len(frame) == 11 and frame[7] == 1:
                return int.from_bytes(frame[3:5]), int.from_bytes(frame[5:7])
            break
    raise ValueError("not a baseline gray JPEG")


def decoder(column: Any, codec: str, size: int, where: str) -> Decode:
    """A function that puts film i of an `image` column into a slot, uint8 [size, size].

    It reads the column's own memory; nothing is copied before. A film that cannot be decoded is a
    `Failure` that says `where` the column lies.
    """
    if codec == "raw":
        flat = np.frombuffer(column.buffers()[1], np.uint8, count=len(column) * size * size)
        films = flat.reshape(len(column), size, size)

        def copy(number: int, into: Films) -> None:
            np.copyto(into, films[number])

        return copy
    ends = np.frombuffer(column.buffers()[1], np.int32, count=len(column) + 1).tolist()
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)

    def decompress(number: int, into: Films) -> None:
        try:
            decode(data[ends[number] : ends[number + 1]], into)
        except ValueError as error:
            raise Failure(f"{where}: film {number}: {error}; pack again") from None

    return decompress

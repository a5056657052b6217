"""How a film's pixels lie in a shard: as they are, or as a JPEG (libjpeg-turbo by simplejpeg)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg

Films = npt.NDArray[np.uint8]
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
    """One JPEG into `into`, uint8 [size, size]; `ValueError` where it is none of that size."""
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    if (height, width) != into.shape:
        raise ValueError(f"a JPEG of {width}×{height} where {into.shape} should be")
    simplejpeg.decode_jpeg(data, "GRAY", buffer=into)


def decoder(column: Any, codec: str, size: int) -> Decode:
    """A function that puts film i of an `image` column into a slot, uint8 [size, size].

    It reads the column's own memory; nothing is copied before.
    """
    if codec == "raw":
        flat = np.frombuffer(column.buffers()[1], np.uint8, count=len(column) * size * size)
        films = flat.reshape(len(column), size, size)

        def copy(number: int, into: Films) -> None:
            np.copyto(into, films[number])

        return copy
    ends = np.frombuffer(column.buffers()[1], np.int32, count=len(column) + 1).tolist()
    data = np.frombuffer(column.buffers()[2], np.uint8)

    def decompress(number: int, into: Films) -> None:
        decode(data[ends[number] : ends[number + 1]], into)

    return decompress

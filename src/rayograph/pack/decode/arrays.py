"""A picture as an `.npy` in, one gray film out, as the same picture gives as a PNG."""

import io
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from rayograph.data.recipe import ImageRecipe
from rayograph.errors import one_line
from rayograph.pack.decode import pictures
from rayograph.pack.decode.decoded import Decoded
from rayograph.pack.decode.errors import UnusableError

MAGIC = b"\x93NUMPY"
LONGEST_HEAD = 10_000  # bytes of what an array says of itself, which is some 100


class Head(NamedTuple):
    """What an `.npy` says of its array, and how long it takes to say so, in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def bytes(self) -> int:
        """Of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def head(data: bytes) -> Head:
    """The head of an `.npy` by its first bytes; errors of any kind where there is none."""
    file = io.BytesIO(data[:LONGEST_HEAD])
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        found = np.lib.format.read_array_header_1_0(file, max_header_size=LONGEST_HEAD)
    else:
        found = np.lib.format.read_array_header_2_0(file, max_header_size=LONGEST_HEAD)
    return Head(*found, file.tell())


def array(data: bytes) -> npt.NDArray[Any]:
    """The array of an `.npy` whose bytes are what it says, over them; `ValueError` of any other."""
    said = head(data)
    if said.dtype.hasobject or said.bytes != len(data) - said.length or min(said.shape) < 0:
        raise ValueError("not the array that it says it is")
    values = np.frombuffer(data, said.dtype, offset=said.length)
    return values.reshape(said.shape, order="F" if said.fortran else "C")


def decode(original: bytes, recipe: ImageRecipe) -> Decoded:
    """The film of a uint8 or uint16 [h, w], or uint8 [h, w, 3]; `UnusableError` of what is none."""
    try:
        out = io.BytesIO()
        Image.fromarray(array(original)).save(out, "PNG", compress_level=0)
    except Exception as error:  # numpy and Pillow raise anything on what is no picture
        raise UnusableError(f"not a picture: {one_line(error)}") from None
    found = pictures.decode(out.getvalue(), recipe)
    return Decoded(found.values, {**found.metadata, "format": "npy"})

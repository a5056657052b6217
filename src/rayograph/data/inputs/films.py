"""Films in a shard: their pixels as they are, or as JPEGs (libjpeg-turbo by simplejpeg)."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg
from pydantic import BaseModel, Field

from rayograph.data.moments import Moments
from rayograph.errors import Failure

Films = npt.NDArray[np.uint8]
# What `encode_jpeg` writes before the frame of a gray baseline JPEG: JFIF's segment and one table.
BASELINE = re.compile(rb"\xff\xd8\xff\xe0\x00\x10.{14}\xff\xdb\x00\x43.{65}\xff\xc0", re.DOTALL)


class FilmInputs(BaseModel, frozen=True, extra="forbid"):
    """Gray films of `size` × `size` pixels, uint8."""

    kind: Literal["image"] = "image"
    size: Annotated[int, Field(ge=16, le=4096)]
    codec: Literal["raw", "jpeg"] = "raw"
    quality: Annotated[int, Field(ge=1, le=100)] | None = None  # of a JPEG

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one film."""
        return (self.size, self.size)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of one film."""
        return np.dtype(np.uint8)

    @property
    def noun(self) -> str:
        """What people call several samples."""
        return "films"

    @property
    def column(self) -> str:
        """The name of the films' column in a shard."""
        return "image"

    @property
    def arrow_type(self) -> Any:
        """Bytes of one length for `raw`, of any for `jpeg`."""
        return pa.binary(self.size**2) if self.codec == "raw" else pa.binary()

    @property
    def expected_bytes(self) -> int:
        """About what a packed film takes; a JPEG of quality 95 takes a quarter of its pixels."""
        return self.size**2 if self.codec == "raw" else self.size**2 // 4

    def encoded(self, samples: Films) -> Any:
        """The column of films, uint8 [n, size, size], which become what a reader will see."""
        if self.codec == "raw":
            buffers = [None, pa.py_buffer(samples)]
            return pa.FixedSizeBinaryArray.from_buffers(self.arrow_type, len(samples), buffers)
        stored = [simplejpeg.encode_jpeg(film[..., None], self.quality, "GRAY") for film in samples]
        for data, film in zip(stored, samples, strict=True):
            decode(data, film)
        return pa.array(stored, self.arrow_type)

    def decoder(self, column: Any, where: str) -> Callable[[int, Films], None]:
        """What puts film i of a column into a slot, uint8 [size, size].

        It reads the column's own memory; nothing is copied before. A film that cannot be decoded is
        a `Failure` that says `where` the column lies.
        """
        if self.codec == "raw":
            flat = np.frombuffer(column.buffers()[1], np.uint8, count=len(column) * self.size**2)
            films = flat.reshape(len(column), self.size, self.size)

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

    def pictures(self, samples: Films) -> Films:
        """The films themselves."""
        return samples

    def moments(self, samples: Films) -> Moments:
        """The exact moments of all gray levels, 0 to 255."""
        square = sum(int(np.square(film, dtype=np.uint16).sum(dtype=np.int64)) for film in samples)
        total = int(samples.sum(dtype=np.int64))
        return Moments(count=samples.size, sum=(total,), square=(square,))

    def possible(self, moments: Moments, rows: int) -> bool:
        """Whether so many films can have these moments."""
        count, most = rows * self.size**2, np.iinfo(np.uint8).max
        if moments.count != count or (len(moments.sum), len(moments.square)) != (1, 1):
            return False
        return 0 <= moments.sum[0] <= most * count and 0 <= moments.square[0] <= most**2 * count

    def describe(self, moments: Moments) -> dict[str, str | float]:
        """Size and codec; mean and deviation of the gray levels, 0 black to 1 white."""
        (mean,), (square,) = moments.mean, moments.mean_square
        std = max(square - mean**2, 0.0) ** 0.5
        return {"pixels": self.size, "codec": self.codec, "mean": mean / 255, "std": std / 255}


def decode(data: Any, into: Films) -> None:
    """One JPEG into `into`, uint8 [size, size]; `ValueError` where it is none of that size.

    It must be of the kind that we write, gray and baseline: each scan of a progressive one goes
    over all pixels once more (0.04 ms at 256²), and 12 bytes are a scan. Matching the head costs
    1 µs a film; to look for a progressive frame in all of its bytes cost 50 of 325.
    """
    whole = bytes(data)
    height, width, colours, _ = simplejpeg.decode_jpeg_header(whole)
    if (height, width, colours) != (*into.shape, "Gray"):
        raise ValueError(f"a {colours} JPEG of {width}×{height}, not a gray one of {into.shape}")
    if not BASELINE.match(whole):
        raise ValueError("not a baseline JPEG as rayograph writes it")
    simplejpeg.decode_jpeg(whole, "GRAY", buffer=into)

"""What all films of a pack look like, on this machine's disk: 4 KB each would fill its memory."""

import os
import tempfile
from array import array
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from rayograph.pack import lookalikes
from rayograph.pack.lookalikes import THUMB, Named
from rayograph.pack.samples import Sample

BYTES = THUMB**2


class Looks:
    """Difference hashes and thumbnails of films, each at the place that `add` gives it."""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        self._hashes = array("Q")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, difference_hash: int, thumb: bytes) -> int:
        """Keep a look; its place."""
        os.pwrite(self._file.fileno(), thumb, len(self._hashes) * BYTES)
        self._hashes.append(difference_hash)
        return len(self._hashes) - 1

    def thumbs(self, places: Sequence[int] | npt.NDArray[np.intp]) -> npt.NDArray[np.uint8]:
        """The thumbnails uint8 [n, 64, 64] at some places."""
        data = b"".join(os.pread(self._file.fileno(), BYTES, int(i) * BYTES) for i in places)
        return np.frombuffer(data, np.uint8).reshape(-1, THUMB, THUMB)

    def named(self, sample: Sample) -> Named:
        """A sample as a picture of pairs shows it."""
        assert sample.look is not None
        return Named(sample.sample_id, self.thumbs([sample.look])[0])

    def alike(self, samples: Sequence[Sample]) -> list[tuple[str, str]]:
        """The names of each two samples that look the same."""
        seen = [sample for sample in samples if sample.look is not None]
        places = np.array([sample.look for sample in seen], np.intp)
        hashes = np.array(self._hashes, np.uint64)[places]
        found = lookalikes.pairs(hashes, lambda rows: self.thumbs(places[rows]))
        return [(seen[i].sample_id, seen[j].sample_id) for i, j in found]

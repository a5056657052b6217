"""One look at every original, before anything is decided: its hash, and its sample if it is kept.

An original is read once where all samples fit into memory together: then they are decoded here and
wait for their place in a shard. Of larger sources only the hash is taken, and each original is read
again when its shard is written.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rayograph import storage
from rayograph.data.inputs import Inputs, Samples
from rayograph.data.recipe import Recipe
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.mapper import Mapper
from rayograph.pack.sources import Original, SourceItem

CHUNK = 128  # originals of one task
SHARE = 0.25  # of the memory that is free, for samples that wait


@dataclass(frozen=True)
class Scanned:
    """What one read of an original gave: its sha256, its sample if kept, or why it is of no use."""

    sha256: str
    sample: Samples | None
    problem: str | None


@dataclass(frozen=True)
class ScanTask:
    """Originals for one process."""

    originals: tuple[Original, ...]
    recipe: Recipe
    inputs: Inputs
    keep: bool


@dataclass(frozen=True)
class ScannedChunk:
    """Those of a task: `samples` [n, *shape] in one piece, which travels faster than n pieces."""

    sha256: list[str]
    problems: list[str | None]
    samples: Samples | None = field(repr=False)

    def each(self) -> Iterator[Scanned]:
        """One after the other."""
        samples = [None] * len(self.sha256) if self.samples is None else self.samples
        return map(Scanned, self.sha256, samples, self.problems)


def scan(
    items: Sequence[SourceItem], recipe: Recipe, inputs: Inputs, mapper: Mapper
) -> dict[str, Scanned]:
    """What was seen of each item, by its id; samples are kept where memory holds all of them."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    keep = len(items) * math.prod(inputs.shape) * inputs.dtype.itemsize <= SHARE * free
    chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    tasks = [
        ScanTask(tuple(_bare(item) for item in chunk), recipe, inputs, keep) for chunk in chunks
    ]
    found = (scanned for chunk in mapper("reading", scan_chunk, tasks) for scanned in chunk.each())
    return {item.sample_id: scanned for item, scanned in zip(items, found, strict=True)}


def _bare(item: SourceItem) -> Original:
    return Original(sample_id=item.sample_id, uri=item.uri, data=item.data)


def scan_chunk(task: ScanTask) -> ScannedChunk:
    """Read each original of a task once."""
    shape, dtype = (len(task.originals), *task.inputs.shape), task.inputs.dtype
    samples = np.zeros(shape, dtype) if task.keep else None
    hashes, problems = [], []
    for i, item in enumerate(task.originals):
        digest, problem = "", None
        try:
            original = item.read()
            digest = hashlib.sha256(original).hexdigest()
            if samples is not None:
                samples[i] = decode(original, task.recipe).values
        except storage.NotFoundError:
            problem = f"no such file: {item.uri}"
        except UnusableError as error:
            problem = str(error)
        hashes.append(digest)
        problems.append(problem)
    return ScannedChunk(hashes, problems, samples)

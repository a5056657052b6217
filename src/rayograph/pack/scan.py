"""One look at every original, before anything is decided: its hash, and its sample if it is kept.

An original is read once where all samples fit into memory together: then they are decoded here and
wait for their place in a shard. Of larger sources only the hash is taken, and each original is read
again when its shard is written.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from rayograph import storage
from rayograph.data.inputs import Samples
from rayograph.data.recipe import Recipe
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.mapper import Mapper
from rayograph.pack.sources import SourceItem

CHUNK = 64  # originals of one task
SHARE = 0.25  # of the memory that is free, for samples that wait


@dataclass(frozen=True)
class Scanned:
    """What one read of an original gave: its sha256, its sample if kept, or why it is of no use."""

    sha256: str = ""
    sample: Samples | None = field(default=None, repr=False)
    problem: str | None = None


@dataclass(frozen=True)
class ScanTask:
    """Originals for one process."""

    uris: tuple[str, ...]
    recipe: Recipe
    keep: bool


def scan(
    items: Sequence[SourceItem], recipe: Recipe, sample_bytes: int, mapper: Mapper
) -> dict[str, Scanned]:
    """What was seen of each item, by its id; samples are kept where memory holds all of them."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    keep = len(items) * sample_bytes <= SHARE * free
    chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
    tasks = [ScanTask(tuple(item.uri for item in chunk), recipe, keep) for chunk in chunks]
    results = mapper("reading", scan_chunk, tasks)
    return {
        item.sample_id: scanned
        for chunk, found in zip(chunks, results, strict=True)
        for item, scanned in zip(chunk, found, strict=True)
    }


def scan_chunk(task: ScanTask) -> list[Scanned]:
    """Read each original of a task once."""
    return [_scanned(uri, task) for uri in task.uris]


def _scanned(uri: str, task: ScanTask) -> Scanned:
    try:
        original = storage.read(uri)
    except storage.NotFoundError:
        return Scanned(problem="no such file")
    sha256 = hashlib.sha256(original).hexdigest()
    if not task.keep:
        return Scanned(sha256)
    try:
        return Scanned(sha256, decode(original, task.recipe))
    except UnusableError as error:
        return Scanned(sha256, problem=str(error))

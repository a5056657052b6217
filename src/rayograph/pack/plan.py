"""Which samples stand in which shard, and in which order."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rayograph.config import PackOptions
from rayograph.data.inputs import Inputs
from rayograph.data.inputs.films import FilmInputs
from rayograph.data.inputs.records import RecordInputs
from rayograph.data.order import LANES
from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.pack import split
from rayograph.pack.samples import Sample
from rayograph.pack.scan import Scan
from rayograph.pack.shard import ShardTask

SMALLEST_BATCH, LARGEST_BATCH, LARGEST_BYTES = 16, 128, 1024**2


def inputs_of(recipe: Recipe, options: PackOptions) -> Inputs:
    """What the samples of a recipe look like in a shard."""
    if isinstance(recipe, TableRecipe):
        return RecordInputs(columns=len(recipe.columns))
    quality = options.quality if options.codec == "jpeg" else None
    return FilmInputs(size=recipe.size, codec=options.codec, quality=quality)


def rows_per_batch(training_samples: int, sample_bytes: int) -> int:
    """Rows of a record batch: the largest power of two, 16 to 128, that leaves 64 batches.

    Fewer where that would be more than 1 MiB: a worker holds a record batch for each of its lanes.
    """
    rows = LARGEST_BATCH
    while rows > SMALLEST_BATCH and -(-training_samples // rows) < LANES:
        rows //= 2
    while rows > 1 and rows * sample_bytes > LARGEST_BYTES:
        rows //= 2
    return rows


def shards(
    dest: str,
    pairs: Sequence[tuple[Sample, str]],
    seen: Scan,
    inputs: Inputs,
    options: PackOptions,
    batch_rows: int,
    present: Mapping[str, int],
) -> Iterator[ShardTask]:
    """Shards of each part, behind those `present`; its samples in a seeded random order."""
    shard_rows = max(1, options.shard_bytes // inputs.expected_bytes // batch_rows) * batch_rows
    for name in split.order({part for _, part in pairs}):
        rows = [sample for sample, part in pairs if part == name]
        rows.sort(key=lambda sample: _rank(options.seed, sample.sample_id))
        for number, start in enumerate(range(0, len(rows), shard_rows), present.get(name, 0)):
            own = rows[start : start + shard_rows]
            yield ShardTask(
                dest=dest,
                part=name,
                number=number,
                ids=tuple(sample.sample_id for sample in own),
                patients=tuple(sample.patient_id for sample in own),
                digests=tuple(sample.sha256 for sample in own),
                locations=tuple(seen.location(sample.row) for sample in own),
                labels=np.array([sample.labels for sample in own], np.int8),
                inputs=inputs,
                batch_rows=batch_rows,
            )


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()

"""Originals to shards: list, read, split by patient, write every shard once.

Each step over the originals goes through a `Mapper`: Ray's on a cluster, one by one in a test.
`dataset.json` is written last; without it nothing was packed.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data import dataset
from rayograph.data.inputs import Inputs
from rayograph.data.inputs.films import FilmInputs
from rayograph.data.inputs.records import RecordInputs
from rayograph.data.manifest import Manifest
from rayograph.data.order import LANES
from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.pack import checks, describe, documents, lookalikes, pseudonyms, split
from rayograph.pack.describe import PackedSample
from rayograph.pack.identify import Identified, identified
from rayograph.pack.mapper import Mapper
from rayograph.pack.samples import Sample
from rayograph.pack.scan import FOLDER, Scan, scan
from rayograph.pack.shard import ShardTask, write_shard
from rayograph.pack.sources import Source

SMALLEST_BATCH, LARGEST_BATCH, LARGEST_BYTES = 16, 128, 1024**2


def pack(
    source: Source,
    dest: str,
    options: PackOptions,
    mapper: Mapper,
    overwrite: bool = False,
    note: Callable[[str], object] = lambda _: None,
) -> Manifest:
    """Pack a source into `dest` and return its manifest; what is worth a word goes to `note`.

    A pack that was interrupted goes on: what it has read is not read again. Raises `UserError`
    where `dest` holds a dataset already, a class never occurs in training (of a source that is to
    be trained on), or more originals are of no use than `pack.max_rejected`.
    """
    dest = storage.absolute(dest)
    checks.vacant(dest, overwrite)
    inputs = _inputs(source.recipe, options)
    salt = pseudonyms.chosen(source, options)
    with tempfile.TemporaryFile() as thumbs:
        seen = scan(source, inputs, dest, salt, mapper, thumbs)
        if seen.read < len(source.items):
            note(f"{len(source.items) - seen.read} were read by a pack that was interrupted")
        found = identified(source, seen, options, salt)
        checks.rejected(found, options)
        alike = _alike(found.samples, seen)
        parts = split.assign(found.source, found.samples, alike, options)
        pairs = list(zip(found.samples, parts, strict=True))
        if options.split == "source":
            checks.labels(found, pairs)
        tasks = list(_tasks(dest, pairs, seen, inputs, options))
        storage.delete([storage.join(dest, dataset.MANIFEST)])  # until the new one, none is valid
        results = list(mapper("packing", write_shard, tasks))
        packed = describe.stored(found.samples, tasks)
        manifest = describe.manifest(dest, found, inputs, packed, results, alike, options)
        _finish(dest, found, packed, seen, manifest)
    _remove_stale(dest, manifest)
    return manifest


def _alike(samples: Sequence[Sample], seen: Scan) -> list[tuple[str, str]]:
    """The names of each two samples that look the same."""
    visible = np.array([i for i, each in enumerate(samples) if each.look is not None], np.int64)
    if not len(visible):
        return []
    hashes = np.array([samples[i].look for i in visible], np.uint64)
    thumbs = seen.thumbs(np.array([samples[i].row for i in visible], np.int64))
    pairs = lookalikes.near_identical((hashes, hashes), (thumbs, thumbs))
    names = [samples[i].sample_id for i in visible]
    return [(names[i], names[j]) for i, j in pairs if i < j]


def _inputs(recipe: Recipe, options: PackOptions) -> Inputs:
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


def _tasks(
    dest: str,
    pairs: Sequence[tuple[Sample, str]],
    seen: Scan,
    inputs: Inputs,
    options: PackOptions,
) -> Iterator[ShardTask]:
    """Shards of each part, its samples in a seeded random order."""
    sample_bytes = inputs.expected_bytes
    training = sum(part not in ("val", "test") for _, part in pairs) or len(pairs)
    batch_rows = rows_per_batch(training, sample_bytes)
    shard_rows = max(1, options.shard_bytes // sample_bytes // batch_rows) * batch_rows
    for name in split.order({part for _, part in pairs}):
        rows = [sample for sample, part in pairs if part == name]
        rows.sort(key=lambda sample: _rank(options.seed, sample.sample_id))
        for number, start in enumerate(range(0, len(rows), shard_rows)):
            own = rows[start : start + shard_rows]
            yield ShardTask(
                dest=dest,
                part=name,
                number=number,
                ids=tuple(sample.sample_id for sample in own),
                patients=tuple(sample.patient_id for sample in own),
                locations=tuple(seen.location(sample.row) for sample in own),
                labels=np.array([sample.labels for sample in own], np.int8),
                inputs=inputs,
                batch_rows=batch_rows,
            )


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _finish(
    dest: str,
    found: Identified,
    packed: Sequence[PackedSample],
    seen: Scan,
    manifest: Manifest,
) -> None:
    """Write what lies beside the shards, the manifest last: it is what makes the rest valid."""
    documents_of = {
        dataset.INDEX: documents.index(packed, manifest),
        dataset.REJECTED: documents.rejections(found.rejected),
        **_pictures(packed, seen),
        dataset.MANIFEST: json.dumps(manifest.model_dump(mode="json"), indent=1).encode(),
    }
    for name, data in documents_of.items():
        storage.write(storage.join(dest, name), data)


def _pictures(packed: Sequence[PackedSample], seen: Scan) -> dict[str, bytes]:
    """What packed films look like."""
    rows = [each.sample.row for each in packed if each.sample.look is not None]
    if not rows:
        return {}
    thumbs = seen.thumbs(np.array(rows[: documents.SHEET_FILMS], np.int64))
    return {dataset.CONTACT_SHEET: documents.contact_sheet(thumbs)}


def _remove_stale(dest: str, manifest: Manifest) -> None:
    """Delete what this pack or an interrupted one left here, and shards of an earlier one."""
    current = {shard.path for part in manifest.parts.values() for shard in part.shards}
    for entry in list(storage.listing(dest)):
        name = entry.uri.removeprefix(storage.join(dest, ""))
        stale = name.endswith(".arrows") and name not in current and dataset.OWN.fullmatch(name)
        if stale or name.startswith(f"{FOLDER}/"):
            storage.delete([entry.uri])

"""Originals to shards: list, read, split by patient, write every shard once.

Each step over the originals goes through a `Mapper`: Ray's on a cluster, one by one in a test.
`dataset.json` is written last; without it nothing was packed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rayograph import storage
from rayograph import task as tasks
from rayograph.config import PackOptions
from rayograph.data import dataset
from rayograph.data.inputs import Inputs
from rayograph.data.inputs.films import FilmInputs
from rayograph.data.manifest import PARTS, Manifest
from rayograph.data.order import LANES
from rayograph.data.recipe import ImageRecipe, Recipe
from rayograph.errors import UserError
from rayograph.pack import describe, documents, split
from rayograph.pack.mapper import Mapper
from rayograph.pack.scan import Scanned, scan
from rayograph.pack.shard import ShardTask, write_shard
from rayograph.pack.sources import Source, SourceItem

SMALLEST_BATCH, LARGEST_BATCH, LARGEST_BYTES = 16, 128, 1024**2


def check(dest: str, overwrite: bool) -> None:
    """Raise `UserError` where `dest` holds a packed dataset that is not to be replaced."""
    if not overwrite and storage.exists(storage.join(storage.absolute(dest), dataset.MANIFEST)):
        raise UserError(
            f"{dest}: holds a packed dataset already; choose another place or --overwrite"
        )


def pack(
    source: Source, dest: str, options: PackOptions, mapper: Mapper, overwrite: bool = False
) -> Manifest:
    """Pack a source into `dest` and return its manifest.

    Raises `UserError` where `dest` holds a dataset already, a class never occurs in training (of a
    source that is to be trained on), or more originals are of no use than `pack.max_rejected`.
    """
    dest = storage.absolute(dest)
    check(dest, overwrite)
    recipe = ImageRecipe(size=options.size, resize=options.resize)
    quality = options.quality if options.codec == "jpeg" else None
    inputs = FilmInputs(size=options.size, codec=options.codec, quality=quality)
    scanned = scan(source.items, recipe, inputs, mapper)
    rejected = {name: found.problem for name, found in scanned.items() if found.problem}
    _check_rejected(rejected, len(source.items), options)
    usable = [item for item in source.items if item.sample_id not in rejected]
    parts = split.assign(source, usable, [scanned[i.sample_id].sha256 for i in usable], options)
    pairs = list(zip(usable, parts, strict=True))
    if options.split == "source":
        _check_classes(source, [item.label for item, part in pairs if part == "train"], rejected)
    tasks = list(_tasks(dest, pairs, scanned, source.classes, inputs, recipe, options))
    storage.delete([storage.join(dest, dataset.MANIFEST)])  # until the new one, nothing is valid
    results = list(mapper("packing", write_shard, tasks))
    for one, packed in zip(tasks, results, strict=True):
        rejected |= {one.items[i].sample_id: reason for i, reason in packed.rejected.items()}
    _check_rejected(rejected, len(source.items), options)
    samples = describe.stored(tasks, results, scanned)
    if options.split == "source":
        _check_classes(source, [s.item.label for s in samples if s.part == "train"], rejected)
    manifest = describe.manifest(dest, source, recipe, inputs, samples, results, rejected)
    for name, data in {
        dataset.INDEX: documents.index(samples, manifest),
        dataset.REJECTED: documents.rejections(source, rejected),
        dataset.CONTACT_SHEET: documents.contact_sheet(results),
        dataset.MANIFEST: json.dumps(manifest.model_dump(mode="json"), indent=1).encode(),
    }.items():  # the manifest last: it is what makes the rest valid
        storage.write(storage.join(dest, name), data)
    _remove_stale(dest, manifest)
    return manifest


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
    pairs: Sequence[tuple[SourceItem, str]],
    scanned: Mapping[str, Scanned],
    classes: Sequence[str],
    inputs: Inputs,
    recipe: Recipe,
    options: PackOptions,
) -> Iterator[ShardTask]:
    """Shards of each part, its samples in a seeded random order."""
    encode = tasks.of("multiclass", classes).encode
    sample_bytes = inputs.expected_bytes
    training = sum(part == "train" for _, part in pairs) or len(pairs)
    batch_rows = rows_per_batch(training, sample_bytes)
    shard_rows = max(1, options.shard_bytes // sample_bytes // batch_rows) * batch_rows
    for name in PARTS:
        rows = [item for item, part in pairs if part == name]
        rows.sort(key=lambda item: _rank(options.seed, item.sample_id))
        for number, start in enumerate(range(0, len(rows), shard_rows)):
            items = tuple(rows[start : start + shard_rows])
            kept = [s for item in items if (s := scanned[item.sample_id].sample) is not None]
            samples = np.stack(kept) if kept else None
            labels = np.stack([encode(item.label) for item in items])
            yield ShardTask(dest, name, number, items, samples, labels, inputs, recipe, batch_rows)


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _remove_stale(dest: str, manifest: Manifest) -> None:
    """Delete shards that an earlier or an interrupted pack left here."""
    current = {shard.path for part in manifest.parts.values() for shard in part.shards}
    for entry in list(storage.listing(dest)):
        name = entry.uri.removeprefix(storage.join(dest, ""))
        if name.endswith(".arrows") and name not in current and dataset.OWN.fullmatch(name):
            storage.delete([entry.uri])


def _check_rejected(rejected: Mapping[str, str], films: int, options: PackOptions) -> None:
    limit = max(10, films // 100) if options.max_rejected is None else options.max_rejected
    if len(rejected) > limit or len(rejected) == films:
        name, reason = next(iter(rejected.items()))
        rule = f", more than {limit} (pack.max_rejected)" if len(rejected) < films else ""
        raise UserError(
            f"{len(rejected)} of {films} films cannot be used{rule}; the first is {name}: {reason}"
        )


def _check_classes(source: Source, training: Sequence[str], rejected: Mapping[str, str]) -> None:
    for name in source.classes:
        if name not in set(training):
            own = [item.sample_id for item in source.items if item.label == name]
            if all(sample in rejected for sample in own):
                raise UserError(
                    f"{source.uri}: none of the {len(own)} films of {name} can be used; the first "
                    f"is {own[0]}: {rejected[own[0]]}"
                )
            raise UserError(
                f"{source.uri}: the class {name} never occurs in training, so it cannot be "
                "learned; give it training films or leave it out"
            )

"""Originals to shards: list, read, split by patient, write every shard once.

Each step over the originals goes through a `Mapper`: Ray's on a cluster, one by one in a test.
`dataset.json` is written last; without it nothing was packed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

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
from rayograph.errors import UserError, one_line
from rayograph.pack import describe, documents, split
from rayograph.pack.mapper import Mapper
from rayograph.pack.scan import Scanned, scan
from rayograph.pack.shard import ShardTask, write_shard
from rayograph.pack.sources import Source, SourceItem
from rayograph.task import PRESENT

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
    inputs = _inputs(source.recipe, options)
    scanned = scan(source.items, source.recipe, inputs, mapper)
    rejected = {name: found.problem for name, found in scanned.items() if found.problem}
    _check_rejected(rejected, len(source.items), options)
    usable = [item for item in source.items if item.sample_id not in rejected]
    parts = split.assign(source, usable, [scanned[i.sample_id].sha256 for i in usable], options)
    pairs = list(zip(usable, parts, strict=True))
    if options.split == "source":
        _check_labels(source, pairs, rejected)
    tasks = list(_tasks(dest, pairs, scanned, inputs, source.recipe, options))
    storage.delete([storage.join(dest, dataset.MANIFEST)])  # until the new one, nothing is valid
    results = list(mapper("packing", write_shard, tasks))
    for one, packed in zip(tasks, results, strict=True):
        rejected |= {one.items[i].sample_id: reason for i, reason in packed.rejected.items()}
    _check_rejected(rejected, len(source.items), options)
    samples = describe.stored(tasks, results, scanned)
    if options.split == "source":
        _check_labels(source, [(sample.item, sample.part) for sample in samples], rejected)
    manifest = describe.manifest(dest, source, inputs, samples, results, rejected)
    for name, data in {
        dataset.INDEX: documents.index(samples, manifest),
        dataset.REJECTED: documents.rejections(source, rejected),
        **documents.contact_sheet(results),
        dataset.MANIFEST: json.dumps(manifest.model_dump(mode="json"), indent=1).encode(),
    }.items():  # the manifest last: it is what makes the rest valid
        storage.write(storage.join(dest, name), data)
    _remove_stale(dest, manifest)
    return manifest


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
    pairs: Sequence[tuple[SourceItem, str]],
    scanned: Mapping[str, Scanned],
    inputs: Inputs,
    recipe: Recipe,
    options: PackOptions,
) -> Iterator[ShardTask]:
    """Shards of each part, its samples in a seeded random order."""
    sample_bytes = inputs.expected_bytes
    training = sum(part not in ("val", "test") for _, part in pairs) or len(pairs)
    batch_rows = rows_per_batch(training, sample_bytes)
    shard_rows = max(1, options.shard_bytes // sample_bytes // batch_rows) * batch_rows
    for name in split.order({part for _, part in pairs}):
        rows = [item for item, part in pairs if part == name]
        rows.sort(key=lambda item: _rank(options.seed, item.sample_id))
        for number, start in enumerate(range(0, len(rows), shard_rows)):
            items = tuple(rows[start : start + shard_rows])
            kept = [s for item in items if (s := scanned[item.sample_id].sample) is not None]
            samples = np.stack(kept) if kept else None
            labels = np.array([item.labels for item in items], np.int8)
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


def _check_labels(
    source: Source, pairs: Sequence[tuple[SourceItem, str]], rejected: Mapping[str, str]
) -> None:
    """Raise `UserError` for a class or label that never occurs where models are trained."""
    training = [item.labels for item, part in pairs if part not in ("val", "test")]
    occurs = (np.array(training, np.int8).reshape(-1, len(source.classes)) == PRESENT).any(axis=0)
    for i, name in enumerate(source.classes):
        if not occurs[i]:
            own = [item.sample_id for item in source.items if item.labels[i] == PRESENT]
            if own and all(sample in rejected for sample in own):
                raise UserError(
                    f"{source.uri}: none of the {len(own)} films of {name} can be used; the first "
                    f"is {own[0]}: {rejected[own[0]]}"
                )
            kind, cure = "class", "give it training films or leave it out"
            if source.task != "multiclass":
                kind, cure = "label", f"pack.drop_labels=[{one_line(name)}] leaves it out"
            raise UserError(
                f"{source.uri}: the {kind} {one_line(name)} never occurs in training, so it cannot "
                f"be learned; {cure}"
            )

"""Originals to shards: list, hash, split by patient, then decode and write every shard once.

Each step over the films goes through a `Run`, which maps a function over chunks: Ray's on a
cluster, plain `map` in a test. `dataset.json` is written last; without it nothing was packed.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data import codec, dataset, describe, split
from rayograph.data.dataset import Manifest, Recipe
from rayograph.data.order import LANES
from rayograph.data.shard import ShardTask, write_shard
from rayograph.data.source import Listed, Source
from rayograph.errors import UserError

T = TypeVar("T")
R = TypeVar("R")
HASH_CHUNK = 64
SMALLEST_BATCH, LARGEST_BATCH, LARGEST_BYTES = 16, 128, 1024**2


class Run(Protocol):
    """Maps a function over items, in parallel or not; results come in the items' order."""

    def __call__(self, what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield `function(item)` for each of `items`; `what` names the work for people."""
        ...


def check(dest: str, overwrite: bool) -> None:
    """Raise `UserError` where `dest` holds a packed dataset that is not to be replaced."""
    if not overwrite and storage.exists(storage.join(storage.absolute(dest), dataset.MANIFEST)):
        raise UserError(
            f"{dest}: holds a packed dataset already; choose another place or --overwrite"
        )


def pack(
    source: Source, dest: str, options: PackOptions, run: Run, overwrite: bool = False
) -> Manifest:
    """Pack a source into `dest` and return its manifest.

    Raises `UserError` where `dest` holds a dataset already, a class never occurs in training, or
    more films are unreadable than `pack.max_rejected`.
    """
    dest = storage.absolute(dest)
    check(dest, overwrite)
    recipe = Recipe(size=options.size, resize=options.resize)
    digests, missing = _digests(source, run)
    films = [film for film in source.films if film.sample_id not in missing]
    _check_rejected(missing, len(source.films), options)
    splits = assign(source, films, [digests[film.sample_id] for film in films], options)
    training = [film for film, part in zip(films, splits, strict=True) if part == "train"]
    _check_classes(source, [film.label for film in training])
    tasks = list(_tasks(dest, films, splits, source.classes, recipe, options))
    storage.delete([storage.join(dest, dataset.MANIFEST)])  # until the new one, nothing is valid
    results = list(run("packing", write_shard, tasks))
    rejected = dict(missing)
    for task, packed in zip(tasks, results, strict=True):
        rejected |= {task.films[i].sample_id: reason for i, reason in packed.rejected.items()}
    _check_rejected(rejected, len(source.films), options)
    kept = describe.stored(tasks, results)
    _check_classes(source, [row.film.label for row in kept if row.split == "train"])
    name = dest.rpartition("/")[2]
    manifest = describe.manifest(name, source, recipe, options, kept, results, digests, rejected)
    documents = {
        dataset.INDEX: describe.index(kept, digests),
        dataset.REJECTED: describe.rejections(source, rejected),
        dataset.CONTACT_SHEET: describe.contact_sheet(results),
        dataset.MANIFEST: json.dumps(manifest.model_dump(mode="json"), indent=1).encode(),
    }  # the manifest last: it is what makes the rest valid
    for name, data in documents.items():
        storage.write(storage.join(dest, name), data)
    _remove_stale(dest, manifest)
    return manifest


def assign(
    source: Source, films: Sequence[Listed], digests: Sequence[str], options: PackOptions
) -> list[str]:
    """The split of each film: the source's own, or cut by patient (70/15/15)."""
    index = {name: i for i, name in enumerate(source.classes)}
    labels = np.array([index[film.label] for film in films], dtype=np.int64)
    names = [film.sample_id for film in films]
    groups = split.unite([film.patient_id for film in films], digests)
    parts = np.array([film.split or "train" for film in films], dtype=object)

    def cut(part: str, fraction: float) -> None:
        pool = np.flatnonzero(parts == "train")
        taken = split.cut(
            groups[pool], [names[i] for i in pool], labels[pool], fraction, options.seed
        )
        parts[pool[taken]] = part

    if not source.fixes_split:
        cut("test", 0.15)
        cut("val", 0.15 / 0.85)
        return [str(part) for part in parts]
    if "train" not in parts:
        raise UserError(f"{source.uri}: no training films; it has {sorted(set(parts))}")
    has_val = "val" in parts
    if has_val and options.val == "cut":
        raise UserError(
            f"pack.val=cut: {source.uri} has a validation part of its own "
            f"({int((parts == 'val').sum())} films); use source or merge_and_cut"
        )
    if options.val == "merge_and_cut":
        parts[parts == "val"] = "train"
    if options.val != "source" or not has_val:
        cut("val", options.val_fraction)
    return [str(part) for part in parts]


def rows_per_batch(training_films: int, film_bytes: int) -> int:
    """Rows of a record batch: the largest power of two, 16 to 128, that leaves 64 batches.

    Fewer where that would be more than 1 MiB: a worker holds a record batch for each of its lanes.
    """
    rows = LARGEST_BATCH
    while rows > SMALLEST_BATCH and -(-training_films // rows) < LANES:
        rows //= 2
    while rows > 1 and rows * film_bytes > LARGEST_BYTES:
        rows //= 2
    return rows


def _digests(source: Source, run: Run) -> tuple[dict[str, str], dict[str, str]]:
    """The sha256 of every original, and the reason where one cannot be read at all."""
    films = source.films
    chunks = [films[i : i + HASH_CHUNK] for i in range(0, len(films), HASH_CHUNK)]
    digests: dict[str, str] = {}
    missing: dict[str, str] = {}
    for chunk, found in zip(chunks, run("reading", hash_originals, chunks), strict=True):
        for listed, digest in zip(chunk, found, strict=True):
            digests[listed.sample_id] = digest or ""
            if digest is None:
                missing[listed.sample_id] = "no such file"
    return digests, missing


def hash_originals(films: Sequence[Listed]) -> list[str | None]:
    """The sha256 of each original; None where the source names a file that is not there."""
    digests: list[str | None] = []
    for listed in films:
        try:
            digests.append(hashlib.sha256(storage.read(listed.uri)).hexdigest())
        except storage.NotFoundError:
            digests.append(None)
    return digests


def _tasks(
    dest: str,
    films: Sequence[Listed],
    splits: Sequence[str],
    classes: Sequence[str],
    recipe: Recipe,
    options: PackOptions,
) -> Iterator[ShardTask]:
    """Shards of each split, its films in a seeded random order."""
    index = {name: i for i, name in enumerate(classes)}
    film_bytes = codec.expected_bytes(options.codec, recipe.size)
    batch_rows = rows_per_batch(splits.count("train"), film_bytes)
    shard_rows = max(1, options.shard_bytes // film_bytes // batch_rows) * batch_rows
    for name in dataset.SPLITS:
        rows = [film for film, part in zip(films, splits, strict=True) if part == name]
        rows.sort(
            key=lambda film: hashlib.sha256(f"{options.seed}:{film.sample_id}".encode()).digest()
        )
        for number, start in enumerate(range(0, len(rows), shard_rows)):
            part = tuple(rows[start : start + shard_rows])
            labels = tuple(index[film.label] for film in part)
            yield ShardTask(
                dest, f"{name}/{number:05}.arrows", part, labels, recipe,
                options.codec, options.quality, batch_rows,
            )  # fmt: skip


def _remove_stale(dest: str, manifest: Manifest) -> None:
    """Delete shards that an earlier or an interrupted pack left here."""
    current = {shard.path for part in manifest.splits.values() for shard in part.shards}
    for entry in list(storage.listing(dest)):
        name = entry.uri.removeprefix(storage.join(dest, ""))
        if name.endswith(".arrows") and name not in current and dataset.OWN.fullmatch(name):
            storage.delete([entry.uri])


def _check_rejected(rejected: Mapping[str, str], films: int, options: PackOptions) -> None:
    limit = max(10, films // 100) if options.max_rejected is None else options.max_rejected
    if len(rejected) > limit or len(rejected) == films:
        name, reason = next(iter(rejected.items()))
        raise UserError(
            f"{len(rejected)} of {films} films cannot be used, more than {limit} "
            f"(pack.max_rejected); the first is {name}: {reason}"
        )


def _check_classes(source: Source, training: Sequence[str]) -> None:
    for name in source.classes:
        if name not in set(training):
            raise UserError(
                f"{source.uri}: the class {name} never occurs in training, so it cannot be "
                "learned; give it training films or leave it out"
            )

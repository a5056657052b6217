"""What a packed dataset says about itself: manifest, statistics, findings, tables, a picture."""

import io
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from rayograph.config import PackOptions
from rayograph.data import dataset, split
from rayograph.data.dataset import Finding, Manifest, Recipe, Split
from rayograph.data.shard import Packed, ShardTask
from rayograph.data.source import Listed, Source

SHEET_COLUMNS, SHEET_ROWS, SHEET_FILM = 12, 6, 96
NAMED = 20  # films that a finding names; the message counts them all


class Stored(NamedTuple):
    """One packed film: what the source said of it, and where it now lies."""

    film: Listed
    split: str
    shard: str
    label: int


def stored(tasks: Sequence[ShardTask], results: Sequence[Packed]) -> list[Stored]:
    """Every packed film, in stored order."""
    return [
        Stored(task.films[i], task.path.partition("/")[0], task.path, task.labels[i])
        for task, packed in zip(tasks, results, strict=True)
        for i in packed.kept
    ]


def manifest(
    name: str,
    source: Source,
    recipe: Recipe,
    options: PackOptions,
    films: Sequence[Stored],
    results: Sequence[Packed],
    digests: Mapping[str, str],
    rejected: Mapping[str, str],
) -> Manifest:
    """The manifest of what was packed, with its fingerprint."""
    mean, std = _moments([p for p in results if p.shard.path.startswith("train/")], recipe)
    found = Manifest(
        name=name,
        classes=source.classes,
        recipe=recipe,
        codec=options.codec,
        quality=options.quality if options.codec == "jpeg" else None,
        mean=mean,
        std=std,
        splits=dict(_splits(source, films, results)),
        findings=source.findings + tuple(_leaks(films, results, digests)),
        ignored=dict(source.ignored),
        rejected=len(rejected),
    )
    return found.model_copy(update={"fingerprint": found.computed_fingerprint()})


def _splits(
    source: Source, films: Sequence[Stored], results: Sequence[Packed]
) -> Iterator[tuple[Any, Split]]:
    for name in dataset.SPLITS:
        own = [row.film for row in films if row.split == name]
        counts = Counter(film.label for film in own)
        shards = [p.shard for p in results if p.shard.path.startswith(f"{name}/") and p.shard.rows]
        if own:
            yield (
                name,
                Split(
                    shards=tuple(shards),
                    patients=len({film.patient_id for film in own}),
                    labels={label: counts[label] for label in source.classes},
                ),
            )


def _moments(train: Sequence[Packed], recipe: Recipe) -> tuple[float, float]:
    """Mean and standard deviation of the training pixels, in 0 to 1, from exact integer sums."""
    count = sum(packed.shard.rows for packed in train) * recipe.size**2
    mean = sum(packed.pixel_sum for packed in train) / count
    square = sum(packed.pixel_square_sum for packed in train) / count
    return mean / 255, float(np.sqrt(max(square - mean**2, 1.0))) / 255


def _leaks(
    films: Sequence[Stored], results: Sequence[Packed], digests: Mapping[str, str]
) -> Iterator[Finding]:
    """What two splits share: patients, identical files, films that look the same."""
    parts = [row.split for row in films]
    names = [row.film.sample_id for row in films]
    patients = split.shared([row.film.patient_id for row in films], parts)
    if patients:
        message = f"{len(patients)} patients are in more than one split, as the source fixes it"
        yield Finding(kind="patient_in_two_splits", message=message, films=tuple(patients[:NAMED]))
    files = set(split.shared([digests[name] for name in names], parts))
    if files:
        offenders = tuple(name for name in names if digests[name] in files)[:NAMED]
        message = f"{len(files)} identical files are in more than one split"
        yield Finding(kind="identical_file_in_two_splits", message=message, films=offenders)
    looks = {name: _looks(results, name) for name in dataset.SPLITS}
    named = {part: [row.film.sample_id for row in films if row.split == part] for part in looks}
    for one, other in (("train", "test"), ("val", "test"), ("train", "val")):
        a, b = looks[one], looks[other]
        pairs = split.near_identical((b[0], a[0]), (b[1], a[1]))
        if pairs:
            message = f"{len(pairs)} pairs of {one} and {other} films look the same"
            shown = tuple(f"{named[other][i]} ~ {named[one][j]}" for i, j in pairs[:NAMED])
            yield Finding(kind="near_identical", message=message, films=shown)


def _looks(results: Sequence[Packed], part: str) -> tuple[Any, Any]:
    """Hashes uint64 [n] and thumbnails uint8 [n, 64, 64] of the films of one split."""
    own = [packed for packed in results if packed.shard.path.startswith(f"{part}/")]
    nothing = (np.empty(0, np.uint64), np.empty((0, 64, 64), np.uint8))
    hashes = np.concatenate([nothing[0], *(packed.hashes for packed in own)])
    return hashes, np.concatenate([nothing[1], *(packed.thumbs for packed in own)])


def index(films: Sequence[Stored], digests: Mapping[str, str]) -> bytes:
    """`index.parquet`: a row a film without its pixels, the source's other columns included."""
    columns: dict[str, Any] = {
        "sample_id": [row.film.sample_id for row in films],
        "patient_id": [row.film.patient_id for row in films],
        "split": [row.split for row in films],
        "shard": [row.shard for row in films],
        "label": pa.array([row.label for row in films], pa.int32()),
        "class": [row.film.label for row in films],
        "source": [row.film.uri for row in films],
        "sha256": [digests[row.film.sample_id] for row in films],
    }
    for name in films[0].film.metadata:
        key = f"source_{name}" if name in columns else name
        columns[key] = [row.film.metadata[name] for row in films]
    return _parquet(pa.table(columns))


def rejections(source: Source, reasons: Mapping[str, str]) -> bytes:
    """`rejected.parquet`: every film that could not be used, with the reason."""
    uris = {film.sample_id: film.uri for film in source.films}
    columns = {
        "sample_id": pa.array(list(reasons), pa.string()),
        "source": pa.array([uris[name] for name in reasons], pa.string()),
        "reason": pa.array(list(reasons.values()), pa.string()),
    }
    return _parquet(pa.table(columns))


def contact_sheet(results: Sequence[Packed]) -> bytes:
    """A PNG of the first packed films, side by side."""
    every = (thumb for packed in results for thumb in packed.thumbs)
    thumbs = list(itertools.islice(every, SHEET_COLUMNS * SHEET_ROWS))
    rows = -(-len(thumbs) // SHEET_COLUMNS)
    sheet = Image.new("L", (SHEET_COLUMNS * SHEET_FILM, rows * SHEET_FILM))
    for i, thumb in enumerate(thumbs):
        side = SHEET_FILM - 2
        row, column = divmod(i, SHEET_COLUMNS)
        picture = Image.fromarray(thumb).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(picture, (column * SHEET_FILM + 1, row * SHEET_FILM + 1))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _parquet(table: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()

"""Datasets for benchmarks: any number of films at once, in the format of `pack`, without packing.

Pixels come from a few phantoms that are repeated, or there are none and the hashes are invented.
"""

import hashlib
import io
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayograph import storage
from rayograph.data.dataset import MANIFEST, digest, schema
from rayograph.data.inputs.films import FilmInputs
from rayograph.data.manifest import LabelCounts, Manifest, Part, RecordBatch, Shard
from rayograph.data.moments import Moments
from rayograph.data.recipe import ImageRecipe
from rayograph.pack import phantom

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
PHANTOMS = 64  # different ones; a model's step does not know how many there are
Films = npt.NDArray[np.uint8]


def phantoms(size: int, count: int = PHANTOMS) -> Films:
    """So many phantoms, every other one with an opacity."""
    return np.stack([phantom.film(i, opacity=i % 2 == 1, size=size) for i in range(count)])


def dataset(dest: str, films: int, batch_rows: int, shard_rows: int, pixels: Films) -> None:
    """Write a dataset of one split, its film i being `pixels[i % len(pixels)]`."""
    size = pixels.shape[-1]
    inputs, classes = FilmInputs(size=size), len(phantom.CLASSES)
    kinds = schema(inputs, classes)
    shards = []
    for number, rows in enumerate(_cut(films, shard_rows)):
        out = io.BytesIO(kinds.serialize().to_pybytes())
        out.seek(0, io.SEEK_END)
        batches = []
        for part in _cut(len(rows), batch_rows):
            own = np.arange(rows.start + part.start, rows.start + part.stop)
            labels = np.eye(classes, dtype=np.int8)[own % len(pixels) % 2]
            columns = [
                inputs.encoded(pixels[own % len(pixels)]),
                pa.array([f"film{i}" for i in own]),
                pa.array([f"patient{i // 3}" for i in own]),
                pa.FixedSizeListArray.from_arrays(pa.array(labels.ravel()), classes),
            ]
            data = pa.record_batch(columns, schema=kinds).serialize().to_pybytes()
            found = digest(data)
            batches.append(
                RecordBatch(offset=out.tell(), bytes=len(data), rows=len(own), xxh3=found)
            )
            out.write(data)
        out.write(END_OF_STREAM)
        path = f"train/{number:05}.arrows"
        storage.write(storage.join(dest, path), out.getvalue())
        whole = hashlib.sha256(out.getvalue()).hexdigest()
        shards.append(_shard(path, batches, len(out.getvalue()), whole))
    storage.write(storage.join(dest, MANIFEST), _manifest(shards, size))


def manifest(dest: str, films: int, batch_rows: int, shard_rows: int, size: int) -> None:
    """Write `dataset.json` alone: what a reader has to open and to plan with."""
    random = np.random.default_rng(0)
    shards = []
    for number, rows in enumerate(_cut(films, shard_rows)):
        sizes = [len(part) for part in _cut(len(rows), batch_rows)]
        lengths = [n * (size * size + 40) + 400 for n in sizes]  # a film, its ids, and the head
        offsets = [600 + end - own for end, own in zip(np.cumsum(lengths), lengths, strict=True)]
        batches = [
            RecordBatch(offset=o, bytes=b, rows=n, xxh3=random.bytes(8).hex())
            for o, b, n in zip(offsets, lengths, sizes, strict=True)
        ]
        end = 600 + sum(lengths) + len(END_OF_STREAM)
        shards.append(_shard(f"train/{number:05}.arrows", batches, end, random.bytes(32).hex()))
    storage.write(storage.join(dest, MANIFEST), _manifest(shards, size))


def _shard(path: str, batches: list[RecordBatch], size: int, digest: str) -> Shard:
    rows = sum(batch.rows for batch in batches)
    return Shard(path=path, rows=rows, bytes=size, sha256=digest, batches=tuple(batches))


def _manifest(shards: list[Shard], size: int) -> bytes:
    films = sum(shard.rows for shard in shards)
    half = LabelCounts(present=films // 2, absent=films - films // 2)
    pixels = films * size**2  # of mean 0.5 and deviation 0.25
    moments = Moments(count=pixels, sum=(127.5 * pixels,), square=((127.5**2 + 64**2) * pixels,))
    train = Part(
        shards=tuple(shards),
        patients=-(-films // 3),
        labels=dict.fromkeys(phantom.CLASSES, half),
        moments=moments,
    )
    made = Manifest(
        name="made",
        task="multiclass",
        classes=phantom.CLASSES,
        inputs=FilmInputs(size=size),
        recipe=ImageRecipe(size=size, resize="crop"),
        parts={"train": train},
        splits={"train": ("train",)},
    )
    made = made.model_copy(update={"fingerprint": made.computed_fingerprint()})
    return made.model_dump_json(indent=1).encode()


def _cut(length: int, piece: int) -> Iterator[range]:
    for start in itertools.count(0, piece):
        if start >= length:
            return
        yield range(start, min(start + piece, length))

"""One shard: originals read, decoded and checked, and written as record batches."""

import hashlib
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from rayograph import storage
from rayograph.data import codec, dataset, film, split
from rayograph.data.dataset import Recipe, RecordBatch, Shard
from rayograph.data.source import Listed

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
THUMB = 64  # side of the thumbnails that look-alikes are confirmed on


@dataclass(frozen=True)
class ShardTask:
    """What one process needs to write one shard."""

    dest: str
    path: str
    films: tuple[Listed, ...]
    labels: tuple[int, ...]
    recipe: Recipe
    codec: str
    quality: int  # of a JPEG
    batch_rows: int


@dataclass(frozen=True)
class Packed:
    """A shard that was written, and what the manifest and the checks need to know of its films."""

    shard: Shard
    kept: tuple[int, ...]  # which of the task's films, in stored order
    rejected: dict[int, str]  # the others, with the reason
    pixel_sum: int
    pixel_square_sum: int
    hashes: npt.NDArray[np.uint64] = field(repr=False)
    thumbs: npt.NDArray[np.uint8] = field(repr=False)


def write_shard(task: ShardTask) -> Packed:
    """Read, decode and check a shard's films and put it into storage."""
    recipe = task.recipe
    kept: list[int] = []
    rejected: dict[int, str] = {}
    pixels = np.empty((len(task.films), recipe.size, recipe.size), dtype=np.uint8)
    for i, listed in enumerate(task.films):
        try:
            pixels[len(kept)] = film.read(storage.read(listed.uri), recipe)
            kept.append(i)
        except film.FilmError as error:
            rejected[i] = str(error)
    pixels = pixels[: len(kept)]
    image = _column(task, pixels)
    batches, data = _serialize(task, kept, image)
    storage.write(storage.join(task.dest, task.path), data)
    shard = Shard(
        path=task.path,
        rows=len(kept),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        batches=tuple(batches),
    )
    small = [Image.fromarray(pixel) for pixel in pixels]
    shrink = Image.Resampling.BOX
    thumbs = [np.asarray(image.resize((THUMB, THUMB), shrink)) for image in small]
    hashes = [split.difference_hash(np.asarray(image.resize((9, 8), shrink))) for image in small]
    histogram = np.bincount(pixels.ravel(), minlength=256)
    levels = np.arange(256, dtype=np.int64)
    return Packed(
        shard, tuple(kept), rejected,
        int(histogram @ levels), int(histogram @ levels**2),
        np.array(hashes, dtype=np.uint64),
        np.array(thumbs, dtype=np.uint8).reshape(-1, THUMB, THUMB),
    )  # fmt: skip


def _column(task: ShardTask, pixels: npt.NDArray[np.uint8]) -> Any:
    """The films as they are stored; `pixels` becomes what a reader will see of them."""
    kind = codec.arrow_type(task.codec, task.recipe.size)
    if task.codec == "raw":
        buffers = [None, pa.py_buffer(pixels)]
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(pixels), buffers)
    stored = codec.encode(pixels, task.quality)
    for data, pixel in zip(stored, pixels, strict=True):
        codec.decode(data, pixel)
    return pa.array(stored, kind)


def _serialize(task: ShardTask, kept: list[int], image: Any) -> tuple[list[RecordBatch], bytes]:
    schema = dataset.schema(task.recipe, task.codec)
    out = io.BytesIO()
    out.write(schema.serialize().to_pybytes())
    batches = []
    for start in range(0, len(kept), task.batch_rows):
        rows = kept[start : start + task.batch_rows]
        columns = [
            image.slice(start, len(rows)),
            pa.array([task.films[i].sample_id for i in rows], pa.string()),
            pa.array([task.films[i].patient_id for i in rows], pa.string()),
            pa.array([task.labels[i] for i in rows], pa.int32()),
        ]
        data = pa.record_batch(columns, schema=schema).serialize().to_pybytes()
        digest = dataset.digest(data)
        batches.append(RecordBatch(offset=out.tell(), bytes=len(data), rows=len(rows), xxh3=digest))
        out.write(data)
    out.write(END_OF_STREAM)
    return batches, out.getvalue()

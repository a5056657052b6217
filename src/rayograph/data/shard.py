"""One shard: originals read, decoded and checked, and written as record batches."""

import hashlib
import io
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from PIL import Image

from rayograph import storage
from rayograph.data import dataset, film, split
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
    batches, data = _serialize(task, kept, pixels)
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


def _serialize(
    task: ShardTask, kept: list[int], pixels: npt.NDArray[np.uint8]
) -> tuple[list[RecordBatch], bytes]:
    schema = dataset.schema(task.recipe)
    out = io.BytesIO()
    out.write(schema.serialize().to_pybytes())
    batches = []
    for start in range(0, len(kept), task.batch_rows):
        rows = kept[start : start + task.batch_rows]
        block = pixels[start : start + len(rows)]
        image = pa.FixedSizeBinaryArray.from_buffers(
            schema.field("image").type, len(rows), [None, pa.py_buffer(block)]
        )
        columns = [
            image,
            pa.array([task.films[i].sample_id for i in rows], pa.string()),
            pa.array([task.films[i].patient_id for i in rows], pa.string()),
            pa.array([task.labels[i] for i in rows], pa.int32()),
        ]
        data = pa.record_batch(columns, schema=schema).serialize().to_pybytes()
        digest = xxhash.xxh3_64_hexdigest(data)
        batches.append(RecordBatch(offset=out.tell(), bytes=len(data), rows=len(rows), xxh3=digest))
        out.write(data)
    out.write(END_OF_STREAM)
    return batches, out.getvalue()

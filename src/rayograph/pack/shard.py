"""One shard: samples checked, and written as record batches."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rayograph import storage
from rayograph.data import dataset
from rayograph.data.inputs import Inputs, Samples
from rayograph.data.manifest import RecordBatch, Shard
from rayograph.data.moments import Moments
from rayograph.data.recipe import Recipe
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.lookalikes import looks
from rayograph.pack.sources import SourceItem

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True)
class ShardTask:
    """What one process needs to write one shard; `samples` are those that a scan has kept."""

    dest: str
    part: str
    number: int
    items: tuple[SourceItem, ...]
    samples: Samples | None = field(repr=False)  # [n, *shape]
    labels: npt.NDArray[np.int8]  # [n, k]
    inputs: Inputs
    recipe: Recipe
    batch_rows: int

    @property
    def path(self) -> str:
        """Where the shard lies below `dest`."""
        return f"{self.part}/{self.number:05}.arrows"


@dataclass(frozen=True)
class Packed:
    """A shard that was written, and what the manifest and the checks need to know of its samples.

    `kept` are the task's items in stored order, `rejected` the others with the reason.
    """

    shard: Shard
    kept: tuple[int, ...]
    rejected: dict[int, str]
    moments: Moments
    hashes: npt.NDArray[np.uint64] = field(repr=False)
    thumbs: npt.NDArray[np.uint8] = field(repr=False)


def write_shard(task: ShardTask) -> Packed:
    """Put a shard's samples into storage; those that no scan has kept are read and decoded."""
    samples = task.samples
    kept, rejected = list(range(len(task.items))), dict[int, str]()
    if samples is None:
        kept, rejected, samples = _decoded(task)
    samples = np.require(samples, requirements="W")  # Ray's are read-only
    column = task.inputs.encoded(samples)
    batches, data = _serialized(task, kept, column)
    storage.write(storage.join(task.dest, task.path), data)
    shard = Shard(
        path=task.path,
        rows=len(kept),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        batches=tuple(batches),
    )
    hashes, thumbs = looks(task.inputs.pictures(samples))
    return Packed(shard, tuple(kept), rejected, task.inputs.moments(samples), hashes, thumbs)


def _decoded(task: ShardTask) -> tuple[list[int], dict[int, str], Samples]:
    """Which of a task's originals can be used, why the others cannot, and the samples."""
    kept: list[int] = []
    rejected: dict[int, str] = {}
    samples = np.empty((len(task.items), *task.inputs.shape), task.inputs.dtype)
    for i, item in enumerate(task.items):
        try:
            samples[len(kept)] = decode(item.read(), task.recipe).values
            kept.append(i)
        except UnusableError as error:
            rejected[i] = str(error)
    return kept, rejected, samples[: len(kept)]


def _serialized(
    task: ShardTask, kept: Sequence[int], column: Any
) -> tuple[list[RecordBatch], bytes]:
    classes = task.labels.shape[1]
    schema = dataset.schema(task.inputs, classes)
    out = io.BytesIO()
    out.write(schema.serialize().to_pybytes())
    batches = []
    for start in range(0, len(kept), task.batch_rows):
        rows = kept[start : start + task.batch_rows]
        columns = [
            column.slice(start, len(rows)),
            pa.array([task.items[i].sample_id for i in rows], pa.string()),
            pa.array([task.items[i].patient_id for i in rows], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(task.labels[rows].ravel()), classes),
        ]
        data = pa.record_batch(columns, schema=schema).serialize().to_pybytes()
        digest = dataset.digest(data)
        batches.append(RecordBatch(offset=out.tell(), bytes=len(data), rows=len(rows), xxh3=digest))
        out.write(data)
    out.write(END_OF_STREAM)
    return batches, out.getvalue()

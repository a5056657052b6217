"""One shard: samples that a scan has left, in their stored order, written as record batches."""

import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel

from rayograph import storage
from rayograph.data import dataset
from rayograph.data.inputs import Inputs
from rayograph.data.manifest import RecordBatch, Shard
from rayograph.data.moments import Moments
from rayograph.pack.scan import FOLDER, Location

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
READERS = 16  # samples of a shard that are read at once


@dataclass(frozen=True)
class ShardTask:
    """What one process needs to write one shard."""

    dest: str
    part: str
    number: int
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    digests: tuple[str, ...] = field(repr=False)  # sha256 of the originals
    locations: tuple[Location, ...] = field(repr=False)
    labels: npt.NDArray[np.int8]  # [n, k]
    inputs: Inputs
    batch_rows: int

    @property
    def path(self) -> str:
        """Where the shard lies below `dest`."""
        return f"{self.part}/{self.number:05}.arrows"

    @property
    def result(self) -> str:
        """Where what it gave is kept until the pack is done: one place for all tasks of a shard."""
        return storage.join(self.dest, f"{FOLDER}/{self.part}-{self.number:05}.json")

    @property
    def key(self) -> str:
        """A hash of all that the shard depends on."""
        said = [self.ids, self.patients, self.digests, self.locations, self.batch_rows]
        return hashlib.sha256(json.dumps(said).encode() + self.labels.tobytes()).hexdigest()


class Packed(BaseModel, frozen=True):
    """Shards that were written, and the moments of their samples."""

    shards: tuple[Shard, ...]
    moments: Moments


class _Done(BaseModel, frozen=True):
    """What is kept of a shard that was written: by which task, and what it gave."""

    key: str
    packed: Packed


def write_shard(task: ShardTask) -> Packed:
    """Put a shard's samples into storage, unless an interrupted pack has; what it gave is kept.

    What another task gave is deleted before its shard is: else that task would take ours for its.
    """
    if storage.exists(task.result):
        done = _Done.model_validate_json(storage.read(task.result))
        if done.key == task.key:
            return done.packed
        storage.delete([task.result])
    column = pa.concat_arrays(list(_columns(task)))
    batches, data = _serialized(task, column)
    storage.write(storage.join(task.dest, task.path), data)
    shard = Shard(
        path=task.path,
        rows=len(column),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        batches=tuple(batches),
    )
    samples = np.empty((len(column), *task.inputs.shape), task.inputs.dtype)
    decode = task.inputs.decoder(column, task.path)
    for i, sample in enumerate(samples):
        decode(i, sample)
    packed = Packed(shards=(shard,), moments=task.inputs.moments(samples))
    storage.write(task.result, _Done(key=task.key, packed=packed).model_dump_json().encode())
    return packed


def _columns(task: ShardTask) -> Iterator[Any]:
    """The samples of a task as columns of one row."""
    ranges = storage.Ranges()
    schema = pa.schema([(task.inputs.column, task.inputs.arrow_type)])

    def read(location: Location) -> Any:
        data = bytearray(location.bytes)
        ranges.read(location.uri, location.offset, memoryview(data))
        return pa.ipc.read_record_batch(pa.py_buffer(data), schema).column(0)

    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(read, task.locations)
    ranges.close()


def _serialized(task: ShardTask, column: Any) -> tuple[list[RecordBatch], bytes]:
    classes = task.labels.shape[1]
    schema = dataset.schema(task.inputs, classes)
    out = io.BytesIO()
    out.write(schema.serialize().to_pybytes())
    batches = []
    for start in range(0, len(column), task.batch_rows):
        rows = slice(start, start + task.batch_rows)
        columns = [
            column[rows],
            pa.array(task.ids[rows], pa.string()),
            pa.array(task.patients[rows], pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(task.labels[rows].ravel()), classes),
        ]
        data = pa.record_batch(columns, schema=schema).serialize().to_pybytes()
        digest = dataset.digest(data)
        size = len(columns[0])
        batches.append(RecordBatch(offset=out.tell(), bytes=len(data), rows=size, xxh3=digest))
        out.write(data)
    out.write(END_OF_STREAM)
    return batches, out.getvalue()

"""A few of a dataset's samples, read for people to look at."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph import storage
from rayograph.data import dataset as datasets
from rayograph.data.dataset import Dataset
from rayograph.data.inputs import Samples
from rayograph.data.manifest import RecordBatch, Shard
from rayograph.errors import Failure

MOST, MOST_BYTES = 2000, 2**26  # samples, and what they take in memory


def first(dataset: Dataset) -> Samples:
    """The first samples [n, *shape] of each shard, as many of each: 2,000, or 64 MB, at most."""
    shards = [shard for part in dataset.manifest.parts.values() for shard in part.shards]
    size = int(np.prod(dataset.inputs.shape)) * dataset.inputs.dtype.itemsize
    quota = -(-max(1, min(MOST, MOST_BYTES // size)) // max(1, len(shards)))
    reader = storage.Ranges()
    found = [_empty(dataset, 0)]
    for shard in shards:
        for before, batch in _batches(shard):
            if before < quota:
                found.append(_samples(reader, dataset, shard, batch)[: quota - before])
    reader.close()
    return np.concatenate(found)


def at(dataset: Dataset, table: Any, rows: Sequence[int]) -> Samples:
    """The samples [n, *shape] of these rows of the dataset's index, a `pyarrow.Table`.

    `Failure` where the index and the shards do not belong together.
    """
    if table.column_names.count("shard") != 1:
        raise Failure(f"{dataset.uri}: its index does not say which shard a film is in; pack again")
    shards = np.array(table.column("shard").to_pylist(), object)
    known = {s.path: s for part in dataset.manifest.parts.values() for s in part.shards}
    reader = storage.Ranges()
    found = [_empty(dataset, 0)]
    for row in rows:
        shard = known.get(shards[row])
        place = int((shards[:row] == shards[row]).sum())
        if shard is None or place >= shard.rows:
            raise Failure(f"{dataset.uri}: its index is of other shards; pack again")
        before, batch = next(each for each in _batches(shard, place))
        found.append(_samples(reader, dataset, shard, batch)[place - before : place - before + 1])
    reader.close()
    return np.concatenate(found)


def _batches(shard: Shard, from_row: int = 0) -> Iterator[tuple[int, RecordBatch]]:
    """The record batches of a shard from the one with this row, and how many rows are before."""
    before = 0
    for batch in shard.batches:
        if before + batch.rows > from_row:
            yield before, batch
        before += batch.rows


def _samples(
    reader: storage.Ranges, dataset: Dataset, shard: Shard, batch: RecordBatch
) -> npt.NDArray[Any]:
    """The samples of a record batch, verified."""
    data = memoryview(bytearray(batch.bytes))
    reader.read(dataset.place(shard), batch.offset, data)
    where = dataset.where(shard, batch)
    found = datasets.digest(data)
    if found != batch.xxh3:
        raise Failure(f"{where} has the hash {found}, expected {batch.xxh3}; it is damaged")
    parsed, _ = dataset.parse(data, shard, batch)
    decode = dataset.inputs.decoder(parsed.column(dataset.inputs.column), where)
    samples = _empty(dataset, batch.rows)
    for i in range(batch.rows):
        decode(i, samples[i])
    return samples


def _empty(dataset: Dataset, rows: int) -> npt.NDArray[Any]:
    return np.empty((rows, *dataset.inputs.shape), dataset.inputs.dtype)

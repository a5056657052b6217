"""`index.parquet`: a packed dataset's samples as a table, one row each, without their values."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.data.dataset import INDEX, REJECTED, Dataset
from rayograph.data.manifest import LONGEST_IDS
from rayograph.errors import Failure, one_line
from rayograph.task import Labels

TEXTS = ("part", "sample_id", "patient_id", "sha256")  # columns that are always there
TEXT_BYTES = 2**24  # of any index, beside LONGEST_IDS a sample


def read(dataset: Dataset, split: str) -> Any:
    """The rows of one split in stored order, as a `pyarrow.Table`.

    `Failure` where the file is not the index of this dataset. Parquet stores what repeats once, so
    that a small file may stand for any number of bytes: rows are counted before they are read,
    texts before they are laid out.
    """
    wanted = dataset.split(split)
    table = every(dataset)
    parts = [table.filter(pc.equal(table.column("part"), part)) for part in wanted.parts]
    table = pa.concat_tables(parts)
    if table.num_rows != wanted.rows:
        place = storage.join(dataset.uri, INDEX)
        raise Failure(f"{place} has {table.num_rows} {split} films, not {wanted.rows}")
    labels(dataset, table)  # raises
    return table


def every(dataset: Dataset) -> Any:
    """The rows of all parts, as they are stored; `Failure` as of `read`."""
    place = storage.join(dataset.uri, INDEX)
    rows = sum(part.rows for part in dataset.manifest.parts.values())
    table = _table(place, rows, TEXTS)
    if any(table.column(name).null_count for name in TEXTS):
        raise Failure(f"{place}: a film has no {', '.join(TEXTS)}; pack again")
    return table


def reasons(dataset: Dataset) -> list[str]:
    """Why each rejected original is of no use; `Failure` where that table cannot be read."""
    place = storage.join(dataset.uri, REJECTED)
    return list(_table(place, dataset.manifest.rejected, ("reason",)).column("reason").to_pylist())


def labels(dataset: Dataset, table: Any) -> Labels:
    """The labels int8 [n, k] of such rows; `Failure` where they are none of the dataset's task."""
    try:
        return dataset.task.labels(table)
    except ValueError as error:
        place = storage.join(dataset.uri, INDEX)
        raise Failure(f"{place}: invalid label: {one_line(error)}; pack again") from None


def _table(place: str, rows: int, texts: Sequence[str]) -> Any:
    """The whole file of so many rows; columns of texts (these must be) and numbers only."""
    try:
        return _checked(place, rows, texts)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise Failure(f"{place}: cannot be read: {one_line(error)}; pack again") from None


def _checked(place: str, rows: int, must: Sequence[str]) -> Any:
    data = storage.read(place)
    with pq.ParquetFile(io.BytesIO(data)) as file:
        schema, metadata = file.schema_arrow, file.metadata
    texts = [f.name for f in schema if f.type in (pa.string(), pa.binary())]
    names = [f.name for f in schema if f.name in texts or pa.types.is_primitive(f.type)]
    _check(place, schema.empty_table().select(names).schema, metadata, rows, must)
    table = pq.read_table(io.BytesIO(data), columns=names, read_dictionary=texts)
    table.validate(full=True)
    for name in texts:
        column = table.column(name)
        if _laid_out(column) > TEXT_BYTES + rows * LONGEST_IDS:
            raise Failure(f"{place}: the texts of {name} are too long")
        number, kind = table.column_names.index(name), schema.field(name).type
        table = table.set_column(number, name, column.cast(kind))
    return table


def _check(place: str, schema: Any, metadata: Any, rows: int, must: Sequence[str]) -> None:
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if not metadata.num_rows == sum(groups) == rows:
        told = f"{place}: has {metadata.num_rows} films, not {rows}"
        if metadata.num_rows > rows:
            raise Failure(f"{told}; pack again, or repeat the --append that was interrupted")
        raise Failure(f"{told}; pack again")
    texts = [schema.field(name).type for name in must]
    if texts != [pa.string()] * len(must):
        raise Failure(f"{place}: {', '.join(must)} must be text; pack again")


def _laid_out(column: Any) -> int:
    """Bytes of a dictionary-encoded column of texts once they are laid out."""
    lengths = (pc.take(pc.binary_length(c.dictionary), c.indices) for c in column.chunks)
    return sum(pc.sum(length).as_py() or 0 for length in lengths)

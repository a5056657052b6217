"""`index.parquet`: a packed dataset's films as a table, one row each, without their pixels."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.data.dataset import INDEX, LONGEST_IDS, Dataset
from rayograph.errors import Failure, one_line

TEXTS = ("split", "sample_id", "patient_id")  # columns that are always there
TEXT_BYTES = 2**24  # of any index, beside LONGEST_IDS a film


def read(dataset: Dataset, split: str) -> Any:
    """The rows of one split in stored order, as a `pyarrow.Table`.

    `Failure` where the file is not the index of this dataset. Parquet stores what repeats once, so
    that a small file may stand for any number of bytes: rows are counted before they are read,
    texts before they are laid out.
    """
    place, expected = storage.join(dataset.uri, INDEX), dataset.split(split).rows
    rows = sum(split.rows for split in dataset.manifest.splits.values())
    try:
        table = _table(place, rows)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise Failure(f"{place}: cannot be read: {one_line(error)}; pack again") from None
    if any(table.column(name).null_count for name in (*TEXTS, "label")):
        raise Failure(f"{place}: a film has no {', '.join(TEXTS)} or label; pack again")
    table = table.filter(pc.equal(table.column("split"), split))
    if table.num_rows != expected:
        raise Failure(f"{place} has {table.num_rows} {split} films, not {expected}")
    return table


def _table(place: str, rows: int) -> Any:
    """The whole file; columns of texts and numbers only."""
    data = storage.read(place)
    with pq.ParquetFile(io.BytesIO(data)) as file:
        schema, metadata = file.schema_arrow, file.metadata
    texts = [f.name for f in schema if f.type in (pa.string(), pa.binary())]
    names = [f.name for f in schema if f.name in texts or pa.types.is_primitive(f.type)]
    _check(place, schema.empty_table().select(names).schema, metadata, rows)
    table = pq.read_table(io.BytesIO(data), columns=names, read_dictionary=texts)
    table.validate(full=True)
    for name in texts:
        column = table.column(name)
        if _laid_out(column) > TEXT_BYTES + rows * LONGEST_IDS:
            raise Failure(f"{place}: the texts of {name} are too long")
        number, kind = table.column_names.index(name), schema.field(name).type
        table = table.set_column(number, name, column.cast(kind))
    return table


def _check(place: str, schema: Any, metadata: Any, rows: int) -> None:
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if not metadata.num_rows == sum(groups) == rows:
        raise Failure(f"{place}: has {metadata.num_rows} films, not {rows}; pack again")
    texts = [schema.field(name).type for name in TEXTS]
    if texts != [pa.string()] * len(TEXTS) or not pa.types.is_integer(schema.field("label").type):
        raise Failure(f"{place}: {', '.join(TEXTS)} must be text, label a number; pack again")


def _laid_out(column: Any) -> int:
    """Bytes of a dictionary-encoded column of texts once they are laid out."""
    lengths = (pc.take(pc.binary_length(c.dictionary), c.indices) for c in column.chunks)
    return sum(pc.sum(length).as_py() or 0 for length in lengths)

"""Tables as they are written: CSV, TSV, semicolons, gzip, byte-order marks, Parquet."""

import gzip
import io
import re
import zlib
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.errors import UserError, one_line

TEXTS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
DELIMITERS = ",;\t|"
QUOTED = re.compile(r'"[^"]*"')


def is_table(uri: str) -> bool:
    """Whether a place is a table, by its suffix."""
    return PurePosixPath(uri).name.lower().endswith((*TEXTS, ".parquet"))


def read_table(uri: str, needed: list[str]) -> Any:
    """A table with the columns `needed`; of a text file all are text. `UserError` if it is none."""
    table = _read(uri)
    names = table.column_names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{uri}: the column '{one_line(twice[0])}' appears twice; keep one")
    for name in needed:
        if name not in names:
            raise UserError(f"{uri}: no column {name}; it has {one_line(', '.join(names))}")
    if not table.num_rows:
        raise UserError(f"{uri}: no film found; the table has no rows")
    return table


def texts(uri: str, table: Any, name: str) -> list[str]:
    """A column as texts, nothing as an empty one; `UserError` where it is missing or of lists."""
    if name not in table.column_names:
        raise UserError(
            f"{uri}: no column {name}; it has {one_line(', '.join(table.column_names))}"
        )
    try:
        return [text or "" for text in pc.cast(table.column(name), pa.string()).to_pylist()]
    except pa.ArrowException as error:
        raise UserError(f"{uri}: column {name} is not text: {one_line(error)}") from None


def _read(uri: str) -> Any:
    try:
        data = storage.read(uri)
        if uri.lower().endswith(".parquet"):
            return pq.read_table(io.BytesIO(data))
        if uri.lower().endswith(".gz"):
            data = gzip.decompress(data)
        head = QUOTED.sub("", _first(data).removeprefix(b"\xef\xbb\xbf").decode())
        delimiter = max(DELIMITERS, key=head.count)
        delimiter = delimiter if delimiter in head else " "
        parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        names = pyarrow.csv.read_csv(io.BytesIO(_first(data)), parse_options=parse).column_names
        convert = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )
        block = pyarrow.csv.ReadOptions(block_size=max(2**20, len(data)))  # a value of any length
        return pyarrow.csv.read_csv(
            io.BytesIO(data), read_options=block, parse_options=parse, convert_options=convert
        )
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        letters = isinstance(error, UnicodeDecodeError) or "UTF8" in str(error)
        cure = "; save it as CSV in UTF-8" if letters else ""
        raise UserError(f"{uri}: not a readable table: {one_line(error)}{cure}") from None


def _first(data: bytes) -> bytes:
    """The heads of a table alone; they may have line ends within quotes."""
    end = data.find(b"\n")
    while end >= 0 and data[:end].count(b'"') % 2:
        end = data.find(b"\n", end + 1)
    return (data if end < 0 else data[:end]) + b"\n"


def typed(column: Any) -> Any:
    """Texts as whole numbers, or else as fractions, if each is written as that number is.

    So ids keep their zeros and all their digits. Columns of other types stay as they are.
    """
    if column.type == pa.uint64():  # of which Python's whole numbers may be no int64
        column = pc.cast(column, pa.string())
    if column.type != pa.string():
        return column
    empty = pc.equal(column, "")
    column = pc.if_else(empty, None, column)
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = pc.cast(column, kind)
        except pa.ArrowException:
            continue
        if pc.all(pc.equal(pc.cast(numbers, pa.string()), column)).as_py():
            return numbers
    return column

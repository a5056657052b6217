"""Tables as they are written: CSV, TSV, semicolons, gzip, byte-order marks, Parquet."""

import gzip
import io
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


def is_table(uri: str) -> bool:
    """Whether a place is a table, by its suffix."""
    return PurePosixPath(uri).name.lower().endswith((*TEXTS, ".parquet"))


def read_table(uri: str, texts: list[str], optional: list[str]) -> Any:
    """A table with the columns `texts`; they and the `optional` ones that it has are text.

    Any other column of a text file is a number only if every value of it is written as that number
    is: ids keep their zeros and all their digits. `UserError` where it is no such table.
    """
    table = _read(uri)
    names = table.column_names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{uri}: the column '{one_line(twice[0])}' appears twice; keep one")
    for name in texts:
        if name not in names:
            raise UserError(f"{uri}: no column {name}; it has {one_line(', '.join(names))}")
    if not table.num_rows:
        raise UserError(f"{uri}: no film found; the table has no rows")
    for number, name in enumerate(names):
        column = table.column(name)
        try:
            column = pc.cast(column, pa.string()) if name in (*texts, *optional) else _typed(column)
        except pa.ArrowException as error:
            raise UserError(f"{uri}: column {name} is not text: {one_line(error)}") from None
        table = table.set_column(number, name, column)
    return table


def _read(uri: str) -> Any:
    try:
        data = storage.read(uri)
        if uri.lower().endswith(".parquet"):
            return pq.read_table(io.BytesIO(data))
        if uri.lower().endswith(".gz"):
            data = gzip.decompress(data)
        head = data.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode()
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
        raise UserError(f"{uri}: not a readable table: {one_line(error)}") from None


def _first(data: bytes) -> bytes:
    """The heads of a table alone."""
    return data.split(b"\n", 1)[0] + b"\n"


def _typed(column: Any) -> Any:
    """Texts as whole numbers, or else as fractions, if each is written as that number is."""
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

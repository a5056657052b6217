"""The file of predictions, written row by row: memory holds one group of rows."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from rayograph import storage
from rayograph.errors import UserError

GROUP = 16_384  # rows of a row group


class Written(Protocol):
    """What tables of rows are given to."""

    def write_table(self, table: Any) -> None:
        """Write these rows behind those before."""


def form(out: str) -> "type[_Parquet | _Csv]":
    """What the name of a file says; `UserError` where it says nothing."""
    forms: dict[str, type[_Parquet | _Csv]] = {".parquet": _Parquet, ".csv": _Csv}
    for suffix, found in forms.items():
        if out.lower().endswith(suffix):
            return found
    raise UserError(f"{out}: a file of predictions ends in .parquet or .csv")


@contextmanager
def written(out: str) -> Iterator[Written]:
    """Write a file at `out`, complete once the block has ended, else not at all."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, "rows")
        rows = form(out)(place)
        yield rows
        rows.close()
        storage.upload(out, place)


class _Csv:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._writer: Any = None

    def write_table(self, table: Any) -> None:
        """Write these rows behind those before."""
        if self._writer is None:
            self._writer = pyarrow.csv.CSVWriter(self._place, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Nothing more comes."""
        self._writer.close()


class _Parquet:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._writer: Any = None
        self._held: list[Any] = []
        self._rows = 0

    def write_table(self, table: Any) -> None:
        """Write these rows behind those before."""
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._place, table.schema)
        self._held.append(table)
        self._rows += len(table)
        if self._rows >= GROUP:
            self._group()

    def close(self) -> None:
        """Nothing more comes."""
        self._group()
        self._writer.close()

    def _group(self) -> None:
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held).combine_chunks())
        self._held, self._rows = [], 0

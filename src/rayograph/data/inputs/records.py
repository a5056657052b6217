"""Records in a shard: a number a column, NaN where it is missing."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, Field

from rayograph.data.moments import Moments
from rayograph.data.recipe import MOST_FEATURES
from rayograph.errors import Failure

Records = npt.NDArray[np.float32]


class RecordInputs(BaseModel, frozen=True, extra="forbid"):
    """Rows of `columns` numbers, float32."""

    kind: Literal["table"] = "table"
    columns: Annotated[int, Field(ge=1, le=MOST_FEATURES)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one record."""
        return (self.columns,)

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of one record."""
        return np.dtype(np.float32)

    @property
    def noun(self) -> str:
        """What people call several samples."""
        return "records"

    @property
    def column(self) -> str:
        """The name of the records' column in a shard."""
        return "features"

    @property
    def arrow_type(self) -> Any:
        """As many numbers for each record."""
        return pa.list_(pa.float32(), self.columns)

    @property
    def expected_bytes(self) -> int:
        """What a packed record takes."""
        return 4 * self.columns

    def encoded(self, samples: Records) -> Any:
        """The column of records, float32 [n, columns]."""
        return pa.FixedSizeListArray.from_arrays(pa.array(samples.ravel()), self.columns)

    def decoder(self, column: Any, where: str) -> Callable[[int, Records], None]:
        """What puts record i of a column into a slot, float32 [columns]; `Failure` that says where.

        It reads the column's own memory; nothing is copied before.
        """
        values = column.values
        if values.null_count:
            raise Failure(f"{where} has records without numbers; pack again")
        flat = np.frombuffer(values.buffers()[1], np.float32, len(values), 4 * values.offset)
        records = flat.reshape(len(column), self.columns)
        if np.isinf(records).any():
            raise Failure(f"{where} has an infinite number; pack again")

        def copy(number: int, into: Records) -> None:
            np.copyto(into, records[number])

        return copy

    def pictures(self, samples: Records) -> npt.NDArray[np.uint8]:
        """None: there is nothing to look at."""
        return np.empty((0, 1, 1), np.uint8)[: len(samples)]

    def moments(self, samples: Records) -> Moments:
        """The moments of the values that each column has; sums are rounded once."""
        known = ~np.isnan(samples)
        values = [samples[known[:, i], i].astype(np.float64) for i in range(self.columns)]
        return Moments(
            count=tuple(len(column) for column in values),
            sum=tuple(math.fsum(column) for column in values),
            square=tuple(math.fsum(np.square(column)) for column in values),
        )

    def possible(self, moments: Moments, rows: int) -> bool:
        """Whether so many records can have these moments."""
        sizes = {len(moments.counts), len(moments.sum), len(moments.square)}
        if sizes != {self.columns} or not isinstance(moments.count, tuple):
            return False
        return all(n <= rows for n in moments.counts) and min(moments.square) >= 0

    def describe(self, moments: Moments) -> dict[str, str | float]:
        """How many columns, and how many of their values are missing."""
        counts = moments.counts
        return {"columns": self.columns, "known": sum(counts) / max(1, max(counts) * len(counts))}

"""What a packed sample looks like in a shard and in memory: a file for each kind. No torch."""

from collections.abc import Callable
from typing import Annotated, Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from rayograph.data.inputs.films import FilmInputs
from rayograph.data.inputs.records import RecordInputs
from rayograph.data.moments import Moments

Samples = npt.NDArray[Any]
Decode = Callable[[int, Samples], None]  # puts sample i of a column into a slot of `shape`


class Inputs(Protocol):
    """What the shard writer, the reader and the loop need to know of a kind of input."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one sample."""

    @property
    def noun(self) -> str:
        """What people call several samples."""

    @property
    def column(self) -> str:
        """The name of its column in a shard."""

    @property
    def arrow_type(self) -> Any:
        """The Arrow type of that column."""

    @property
    def expected_bytes(self) -> int:
        """About what a stored sample takes."""

    def encoded(self, samples: Samples) -> Any:
        """A column of samples [n, *shape], which become what a reader will see of them."""

    def decoder(self, column: Any, where: str) -> Decode:
        """What puts a sample of a column into a slot; `Failure` that says `where` if it cannot."""

    def pictures(self, samples: Samples) -> npt.NDArray[np.uint8]:
        """What people see of samples, uint8 [n, side, side]; none where there is nothing to see."""

    def moments(self, samples: Samples) -> Moments:
        """The moments of samples [n, *shape]."""

    def possible(self, moments: Moments, rows: int) -> bool:
        """Whether so many samples can have these moments."""

    def describe(self, moments: Moments) -> dict[str, str | float]:
        """What people want to know of samples with these moments, by name."""


AnyInputs = Annotated[FilmInputs | RecordInputs, Field(discriminator="kind")]

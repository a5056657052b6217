"""Count, sum and sum of squares of values: they add up over parts."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field

Numbers = tuple[int | float, ...]  # one a feature; whole numbers stay exact


class Moments(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Of one feature (all pixels of gray films) or of each of several."""

    count: Annotated[int, Field(ge=0)]
    sum: Numbers
    square: Numbers

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each feature."""
        return tuple(total / self.count for total in self.sum)

    @property
    def mean_square(self) -> tuple[float, ...]:
        """The mean of each feature's squares."""
        return tuple(total / self.count for total in self.square)


def total(moments: Iterable[Moments]) -> Moments:
    """The moments of all values together."""
    every = list(moments)
    return Moments(
        count=sum(each.count for each in every),
        sum=tuple(map(sum, zip(*(each.sum for each in every), strict=True))),
        square=tuple(map(sum, zip(*(each.square for each in every), strict=True))),
    )

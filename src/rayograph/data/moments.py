"""Count, sum and sum of squares of values: they add up over parts."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field

Numbers = tuple[int | float, ...]  # one a feature; whole numbers stay exact
Count = Annotated[int, Field(ge=0)]


class Moments(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Of one feature (all pixels of gray films) or of each of several.

    `count` is that of all features, or of each, where some values are missing.
    """

    count: Count | tuple[Count, ...]
    sum: Numbers
    square: Numbers

    @property
    def counts(self) -> tuple[int, ...]:
        """How many values each feature has."""
        return self.count if isinstance(self.count, tuple) else (self.count,) * len(self.sum)

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each feature; 0 of one without a value."""
        return tuple(total / max(n, 1) for total, n in zip(self.sum, self.counts, strict=True))

    @property
    def mean_square(self) -> tuple[float, ...]:
        """The mean of each feature's squares."""
        return tuple(total / max(n, 1) for total, n in zip(self.square, self.counts, strict=True))


def total(moments: Iterable[Moments]) -> Moments:
    """The moments of all values together."""
    every = list(moments)
    counts = tuple(map(sum, zip(*(each.counts for each in every), strict=True)))
    whole = all(isinstance(each.count, int) for each in every)
    return Moments(
        count=counts[0] if whole else counts,
        sum=tuple(map(sum, zip(*(each.sum for each in every), strict=True))),
        square=tuple(map(sum, zip(*(each.square for each in every), strict=True))),
    )

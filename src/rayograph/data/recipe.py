"""What happens to an original before packing, and to a packed sample before the model sees it.

The recipe is fixed when a dataset is packed; the transform holds what depends on the training
split. Both are stored in the model, so that new films get the same treatment.
"""

import math
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from rayograph.config import DataOptions, EvaluateOptions
from rayograph.data.moments import Moments
from rayograph.errors import one_line

ODD = ("unknown_categories",)  # how many of a record's categories no training record had
MOST_FEATURES, MOST_CATEGORIES, MOST_WIDTH = 16_384, 1_000, 65_536
Side = Annotated[int, Field(ge=16, le=4096)]


class ImageRecipe(BaseModel, frozen=True, extra="forbid"):
    """From an original film to a packed one; `pack.decode` has a step for each field."""

    kind: Literal["image"] = "image"
    size: Side
    resize: Literal["crop", "fit", "stretch"]
    orientation: Literal["exif"] = "exif"
    gray: Literal["bt601"] = "bt601"
    range: Literal["bits in use"] | tuple[float, float] = "bits in use"
    resample: Literal["lanczos"] = "lanczos"
    window: str | None = None

    @model_validator(mode="after")
    def _rising(self) -> "ImageRecipe":
        low, high = (0.0, 1.0) if isinstance(self.range, str) else self.range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"range: black {low:g} must be below white {high:g}, both finite")
        return self

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a window as before there were any: fingerprints are of what is dumped."""
        found: dict[str, Any] = handler(self)
        if found.get("window") is None:
            found.pop("window", None)
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a packed sample."""
        return (self.size, self.size)

    @property
    def words(self) -> str:
        """What it makes of an original, for people."""
        return f"frontal chest films, packed at {self.size} pixels (`{self.resize}`)"

    def odd(self, _samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """What a table of predictions should say of samples [n, …], a column each."""
        return {}


class ImageTransform(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """From a packed film to what the model sees: its size, and the training pixels' moments.

    By `normalize` gray levels are standardised by these moments, or by each film's own. A film is
    judged by the mean logits of its `views`: the whole film, or five crops of the side `crop`.
    """

    kind: Literal["image"] = "image"
    size: Annotated[int, Field(ge=16, le=2048)]
    mean: Annotated[float, Field(ge=0, le=1)]
    std: Annotated[float, Field(gt=0, le=1)]
    normalize: Literal["dataset", "film"] = "dataset"
    views: Literal["whole", "five"] = "whole"
    crop: Annotated[float, Field(ge=0.5, lt=1)] = 0.9

    @classmethod
    def fitted(
        cls, moments: Moments, options: DataOptions, judged: EvaluateOptions
    ) -> "ImageTransform":
        """The transform for a training split with these moments of gray levels, 0 to 255."""
        (mean,), (square,) = moments.mean, moments.mean_square
        std = math.sqrt(max(square - mean**2, 1.0))
        return cls(
            size=options.image_size,
            mean=mean / 255,
            std=std / 255,
            normalize=options.normalize,
            views=judged.views,
            crop=judged.crop,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the model sees."""
        return (1, self.size, self.size)

    @property
    def side(self) -> int:
        """Of the film in pixels, of which each view is `size` by `size`."""
        return round(self.size / self.crop) if self.views == "five" else self.size

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """The upper left corner of each view in that film, (row, column); the centre is last."""
        if self.views == "whole":
            return ((0, 0),)
        far = self.side - self.size
        return (0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)

    @property
    def passes(self) -> int:
        """Of the network, to judge a sample."""
        return len(self.corners)

    @property
    def words(self) -> str:
        """What the model sees, for people."""
        own = ", each standardised by itself" if self.normalize == "film" else ""
        crops = f", judged by five crops of side {self.crop:g}" if self.views == "five" else ""
        return f"seen at {self.size}{own}{crops}"


class TableColumn(BaseModel, frozen=True, extra="forbid"):
    """A feature: its name, its categories if it has any, and whether some values were missing."""

    name: str
    categories: Annotated[tuple[str, ...], Field(max_length=MOST_CATEGORIES)] | None = None
    missing: bool


class TableRecipe(BaseModel, frozen=True, extra="forbid"):
    """From a row of a table to numbers; `pack.decode.records` reads a row by its columns.

    A number stays as it is; a category becomes its place in the list, an unknown one the place
    behind the last; what is missing becomes NaN.
    """

    kind: Literal["table"] = "table"
    columns: Annotated[tuple[TableColumn, ...], Field(min_length=1, max_length=MOST_FEATURES)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a packed sample."""
        return (len(self.columns),)

    @property
    def words(self) -> str:
        """What it makes of an original, for people."""
        return f"records of {len(self.columns)} columns"

    def odd(self, samples: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """What a table of predictions should say of samples [n, columns], a column each."""
        last = np.array(
            [np.inf if c.categories is None else len(c.categories) for c in self.columns]
        )
        return {ODD[0]: (samples >= last).sum(axis=1)}


class Feature(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How a column enters the model; `categories` is 0 for numbers, `flag` marks missing values."""

    mean: float
    std: Annotated[float, Field(gt=0)]
    categories: Annotated[int, Field(ge=0, le=MOST_CATEGORIES)]
    flag: bool


class TableTransform(BaseModel, frozen=True, extra="forbid"):
    """From a packed record to what the model sees, a `Feature` a column.

    Numbers are standardised with the training split's moments, and the mean stands for what is
    missing; each category is one input. An unknown category is none of them.
    """

    kind: Literal["table"] = "table"
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=MOST_FEATURES)]

    @classmethod
    def fitted(cls, recipe: TableRecipe, moments: Moments) -> "TableTransform":
        """The transform for a training split with these moments of each column."""
        squares = zip(recipe.columns, moments.mean, moments.mean_square, strict=True)
        return cls(
            features=tuple(
                Feature(
                    mean=mean,
                    std=_deviation(mean, square),
                    categories=len(column.categories or ()),
                    flag=column.missing,
                )
                for column, mean, square in squares
            )
        )

    @model_validator(mode="after")
    def _bounded(self) -> "TableTransform":
        if self.shape[0] > MOST_WIDTH:
            raise ValueError(f"{self.shape[0]:,} numbers of a record; at most {MOST_WIDTH:,}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the model sees."""
        return (sum((each.categories or 1) + each.flag for each in self.features),)

    @property
    def passes(self) -> int:
        """Of the network, to judge a sample."""
        return 1

    @property
    def words(self) -> str:
        """What the model sees, for people."""
        return f"seen as {self.shape[0]} numbers"


def _deviation(mean: float, square: float) -> float:
    """The deviation; 1 of a column that is constant but for rounding."""
    variance = square - mean**2
    return math.sqrt(variance) if variance > 1e-12 * max(square, 1e-300) else 1.0


Recipe = Annotated[ImageRecipe | TableRecipe, Field(discriminator="kind")]
TransformSpec = Annotated[ImageTransform | TableTransform, Field(discriminator="kind")]


def difference(mine: Recipe, theirs: Recipe) -> str | None:
    """The first field that differs, as `field: mine, not theirs`; None where none does."""
    if mine.kind != theirs.kind:
        return f"kind: {mine.kind}, not {theirs.kind}"
    for name in type(mine).model_fields:
        own, other = getattr(mine, name), getattr(theirs, name)
        if own != other:
            return one_line(f"{name}: {own}, not {other}")
    return None


def fitted(
    recipe: Recipe, moments: Moments, options: DataOptions, judged: EvaluateOptions
) -> TransformSpec:
    """The transform of samples that a recipe makes, for a training split with these moments."""
    if isinstance(recipe, TableRecipe):
        return TableTransform.fitted(recipe, moments)
    return ImageTransform.fitted(moments, options, judged)

"""What happens to an original before packing, and to a packed sample before the model sees it.

The recipe is fixed when a dataset is packed; the transform holds what depends on the training
split. Both are stored in the model, so that new films get the same treatment.
"""

import math
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from rayograph.config import DataOptions
from rayograph.data.moments import Moments

Side = Annotated[int, Field(ge=16, le=4096)]


class ImageRecipe(BaseModel, frozen=True, extra="forbid"):
    """From an original film to a packed one; `pack.decode.pictures` has a step for each field."""

    kind: Literal["image"] = "image"
    size: Side
    resize: Literal["crop", "fit"]
    orientation: Literal["exif"] = "exif"
    gray: Literal["bt601"] = "bt601"
    range: Literal["bits in use"] = "bits in use"
    resample: Literal["lanczos"] = "lanczos"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a packed sample."""
        return (self.size, self.size)

    def difference(self, other: "ImageRecipe") -> str | None:
        """The first field that differs, as `field: mine, not theirs`; None where none does."""
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name}: {mine}, not {theirs}"
        return None


class ImageTransform(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """From a packed film to what the model sees: its size, and the training pixels' moments."""

    kind: Literal["image"] = "image"
    size: Annotated[int, Field(ge=16, le=2048)]
    mean: Annotated[float, Field(ge=0, le=1)]
    std: Annotated[float, Field(gt=0, le=1)]

    @classmethod
    def fitted(cls, moments: Moments, options: DataOptions) -> "ImageTransform":
        """The transform for a training split with these moments of gray levels, 0 to 255."""
        (mean,), (square,) = moments.mean, moments.mean_square
        std = math.sqrt(max(square - mean**2, 1.0))
        return cls(size=options.image_size, mean=mean / 255, std=std / 255)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the model sees."""
        return (1, self.size, self.size)


Recipe = ImageRecipe  # a union, told apart by `kind`, once there are several
TransformSpec = ImageTransform


def fitted(recipe: Recipe, moments: Moments, options: DataOptions) -> TransformSpec:
    """The transform of samples that a recipe makes, for a training split with these moments."""
    return {"image": ImageTransform}[recipe.kind].fitted(moments, options)

"""Random changes of training films."""

from pydantic import Field, model_validator

from rayograph.config.base import Options


class AugmentOptions(Options):
    """Random changes of a training film, drawn anew for each film and epoch; records have none."""

    scale: tuple[float, float] = (0.85, 1.0)
    """side of the crop as a part of the film, from and to [fraction]"""

    shift: float = Field(0.05, ge=0, le=0.5)
    """shift from the centre, at most, either way [fraction]"""

    rotation: float = Field(7.0, ge=0, le=180)
    """rotation, at most, either way [degrees]"""

    brightness: float = Field(0.1, ge=0, le=1)
    """added gray, at most, either way [fraction of white]"""

    contrast: float = Field(0.1, ge=0, lt=1)
    """contrast factor's distance from 1, at most [fraction]"""

    flip: float = Field(0.0, ge=0, le=1)
    """chance of a left-right flip; note that a heart has a side [probability]"""

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentOptions":
        low, high = self.scale
        if not 0.1 <= low <= high <= 1.5:
            raise ValueError(f"scale [{low:g}, {high:g}]: must be min ≤ max, both from 0.1 to 1.5")
        return self

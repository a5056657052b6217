"""Random changes of training films."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from rayograph.config.base import Options

LEVELS: Mapping[str, Mapping[str, Any]] = {  # beside the defaults, which are light
    "light": {},
    "medium": {
        "area": (0.6, 1.0), "aspect": (0.85, 1.18), "gamma": 1.3, "rotation": 10.0,
        "brightness": 0.05, "contrast": 0.05,
    },
    "strong": {
        "area": (0.35, 1.0), "aspect": (0.75, 1.333), "gamma": 1.7, "rotation": 10.0,
        "brightness": 0.0, "contrast": 0.0,
    },
}  # fmt: skip
NEUTRAL: dict[str, Any] = {
    "scale": (1.0, 1.0), "shift": 0.0, "rotation": 0.0, "brightness": 0.0, "contrast": 0.0,
}  # fmt: skip  # of the others the default


class AugmentOptions(Options):
    """Random changes of a training film, drawn anew for each film and epoch; records have none."""

    level: Literal["light", "medium", "strong"] = "light"
    """what the numbers below are unless they are given: light (scale 0.85 to 1, rotation 7);
    medium (area 0.6 to 1, gamma 1.3, rotation 10); or strong (area 0.35 to 1, gamma 1.7, no
    brightness or contrast), which helps where films will come from other devices [name]"""

    scale: tuple[float, float] = (0.85, 1.0)
    """side of the crop as a part of the film, from and to [fraction]"""

    shift: float = Field(0.05, ge=0, le=0.5)
    """shift from the centre, at most, either way [fraction]"""

    area: tuple[float, float] | None = None
    """part of the film's area that is cropped anywhere in it, from and to, in place of `scale` and
    `shift`; 0.35 to 1 helps where other hospitals frame films otherwise [fraction]"""

    aspect: tuple[float, float] = (0.75, 1.333)
    """width over height of that crop, which becomes a square: the model cannot read the film's own
    shape any more [ratio]"""

    gamma: float = Field(1.0, ge=1, le=4)
    """tone curve: gray to a power, at most this or one over it, 1 for none; 1.7 helps where other
    devices process films otherwise [exponent]"""

    rotation: float = Field(7.0, ge=0, le=180)
    """rotation, at most, either way [degrees]"""

    brightness: float = Field(0.1, ge=0, le=1)
    """added gray, at most, either way [fraction of white]"""

    contrast: float = Field(0.1, ge=0, lt=1)
    """contrast factor's distance from 1, at most [fraction]"""

    flip: float = Field(0.0, ge=0, le=1)
    """chance of a left-right flip; note that a heart has a side [probability]"""

    @property
    def still(self) -> bool:
        """Whether films are not changed at all."""
        neutral = AugmentOptions(**NEUTRAL)
        unused = {"level"} | ({"aspect"} if self.area is None else set())
        return self.model_dump(exclude=unused) == neutral.model_dump(exclude=unused)

    def own(self) -> dict[str, Any]:
        """The options that are not as their level has them, and the level, as plain data."""
        level = type(self)(level=self.level).model_dump(mode="json")
        given = self.model_dump(mode="json").items()
        return {"level": self.level} | {k: v for k, v in given if v != level[k]}

    @model_validator(mode="before")
    @classmethod
    def _by_level(cls, given: Any) -> Any:
        level = given.get("level") if isinstance(given, Mapping) else None
        return {**LEVELS[level], **given} if isinstance(level, str) and level in LEVELS else given

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentOptions":
        if not 0.1 <= self.scale[0] <= self.scale[1] <= 1.5:
            raise ValueError(f"scale {_span(self.scale)}: must be min ≤ max, both from 0.1 to 1.5")
        if self.area is None:
            return self
        if not 0.05 <= self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area {_span(self.area)}: must be min ≤ max, both from 0.05 to 1")
        if not 0.25 <= self.aspect[0] <= 1 <= self.aspect[1] <= 4:
            raise ValueError(f"aspect {_span(self.aspect)}: must be min ≤ 1 ≤ max, from 0.25 to 4")
        for name in ("scale", "shift"):
            if getattr(self, name) != type(self).model_fields[name].default:
                also = "" if self.level == "light" else f"; level={self.level} has area"
                raise ValueError(f"area takes the place of {name}: give one of them{also}")
        return self


def _span(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:g}, {ends[1]:g}]"

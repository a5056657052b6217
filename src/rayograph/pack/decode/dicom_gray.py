"""From stored values to gray levels: modality LUT, VOI window, polarity (PS3.3 C.11.1, C.11.2).

Everything is done once for each value that a pixel can have, not for each pixel.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.multival import MultiValue

from rayograph.data.recipe import ImageRecipe
from rayograph.errors import one_line
from rayograph.pack.decode.dicom_header import CODE, code, numbers
from rayograph.pack.decode.errors import UnusableError

FULL = "full"  # of `pack.window`: no window
MOST_AT_AN_END = 0.99  # of the pixels; beyond that a window leaves no picture
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Levels:
    """The values that pixels have: `values` [n], how many pixels have each, which are padding."""

    values: Floats
    counts: npt.NDArray[np.int64]
    padding: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """A VOI LUT (`table`), or a window of this centre and width; `name` as the header has it."""

    name: str | None
    table: Dataset | None = None
    centre: float = 0.0
    width: float = 1.0
    function: str = "LINEAR"

    @property
    def words(self) -> str:
        """What a reader is told of it: its name if it is a plain word, else its numbers."""
        if self.name and CODE.fullmatch(self.name.upper()):
            return self.name
        return "LUT" if self.table is not None else f"{self.centre:g}/{self.width:g}"


def shades(header: Dataset, levels: Levels, recipe: ImageRecipe) -> tuple[Bytes, str | None]:
    """The gray level 0 to 255 of each value, and the window that was used, in words."""
    used = (levels.counts > 0) & ~levels.padding
    if not used.any():
        raise UnusableError("nothing but padding pixels")
    values = _modality(header, levels.values)
    if not np.isfinite(values[used]).all():
        raise UnusableError("gray values that are not finite")
    window = _window(header, recipe.window)
    stated = recipe.range if not isinstance(recipe.range, str) else None
    if window is not None:
        unit = _windowed(values, window)
    else:
        low, high = stated or (float(values[used].min()), float(values[used].max()))
        unit = (values - low) / (high - low if high > low else 1.0)
    gray = np.rint(np.nan_to_num(unit).clip(0, 1) * 255).astype(np.uint8)
    if window is not None or stated is not None:
        cause = "pack.range" if window is None else f"the window {window.words}"
        _check_ends(gray, np.where(used, levels.counts, 0), cause)
    if _inverted(header):
        gray = 255 - gray
    gray[levels.padding] = 0
    return gray, window.words if window else None


def _check_ends(gray: Bytes, counts: npt.NDArray[np.int64], cause: str) -> None:
    whole = counts.sum()
    for end, word in ((0, "the low end"), (255, "the high end")):
        share = counts[gray == end].sum() / whole
        if share > MOST_AT_AN_END:
            cure = "set another pack.range" if cause == "pack.range" else "pack.window=full"
            raise UnusableError(f"{cause} leaves {share:.1%} of the pixels at {word}; {cure}")


def _inverted(header: Dataset) -> bool:
    inverse = code(header, "PresentationLUTShape") == "INVERSE"
    return inverse or code(header, "PhotometricInterpretation") == "MONOCHROME1"


def _modality(header: Dataset, values: Floats) -> Floats:
    sequence = header.get("ModalityLUTSequence")
    if sequence:
        return _looked_up(values, sequence[0])[0]
    slope, intercept = numbers(header, "RescaleSlope"), numbers(header, "RescaleIntercept")
    if len(slope) != 1 or len(intercept) != 1 or not slope[0]:
        return values
    if not math.isfinite(slope[0]) or not math.isfinite(intercept[0]):
        return values
    return values * slope[0] + intercept[0]


def _windowed(values: Floats, window: Window) -> Floats:
    """Of the window's output range, 0 to 1 (beyond it less or more)."""
    if window.table is not None:
        found, top = _looked_up(values, window.table)
        return found / top
    centre, width = window.centre, window.width
    if window.function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if window.function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _looked_up(values: Floats, item: Dataset) -> tuple[Floats, float]:
    """Values through a LUT, and its white: 2^n - 1, n being the bits of its largest entry."""
    described = numbers(item, "LUTDescriptor")
    data = item.get("LUTData")
    if len(described) != 3 or not np.isfinite(described).all() or data is None:
        raise UnusableError("a lookup table without descriptor or data")
    count, first, bits = int(described[0]) or 2**16, int(described[1]), int(described[2])
    entries = _entries(data, count, item)[:count]
    if not len(entries):
        raise UnusableError("a lookup table without entries")
    where = np.rint(np.nan_to_num(values) - first).clip(0, len(entries) - 1).astype(np.intp)
    used = max(8, int(entries.max()).bit_length())
    return entries[where].astype(np.float64), 2.0 ** min(used, max(bits, 8)) - 1


def _entries(data: Any, count: int, item: Dataset) -> npt.NDArray[Any]:
    if not isinstance(data, bytes):
        return np.array(list(data) if isinstance(data, MultiValue | list) else [data], np.int64)
    if len(data) < 2 * count:  # 8 bits each
        return np.frombuffer(data, np.uint8)
    order = "<" if item.original_encoding[1] in (True, None) else ">"
    return np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")


def _window(header: Dataset, wanted: str | None) -> Window | None:
    """The first that is valid, or that of the wanted name; None for none."""
    if wanted is not None and _plain(wanted) == FULL:
        return None
    found = _windows(header)
    if wanted is None:
        return found[0] if found else None
    for window in found:
        if window.name and _plain(window.name) == _plain(wanted):
            return window
    names = ", ".join(
        name for window in found if CODE.fullmatch((name := window.name or "").upper())
    )
    raise UnusableError(one_line(f"no window is named {wanted!r}; there are: {names or 'none'}"))


def _plain(name: str) -> str:
    return "".join(name.casefold().split())


def _windows(header: Dataset) -> list[Window]:
    """Every valid VOI LUT and then every valid window."""
    found = [
        Window(str(item.get("LUTExplanation") or "").strip() or None, item)
        for item in header.get("VOILUTSequence") or ()
        if item.get("LUTData") is not None and len(numbers(item, "LUTDescriptor")) == 3
    ]
    said = header.get("WindowCenterWidthExplanation")
    names = [str(each) for each in (said if isinstance(said, MultiValue) else [said or ""])]
    function = code(header, "VOILUTFunction") or "LINEAR"
    least = 0.0 if function in ("SIGMOID", "LINEAR_EXACT") else 1.0
    pairs = zip(numbers(header, "WindowCenter"), numbers(header, "WindowWidth"), strict=False)
    for place, (centre, width) in enumerate(pairs):
        name = names[place].strip() if place < len(names) else ""
        valid = math.isfinite(centre) and sys.float_info.max > width >= least and width > 0
        if valid:
            found.append(Window(name or None, None, centre, width, function))
    return found

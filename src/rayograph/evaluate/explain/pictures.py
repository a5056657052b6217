"""Films and their maps as small pictures, and in words where a map is strongest."""

import base64
import io

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image

from rayograph.evaluate.explain.maps import Map

SHOWN, FINEST = 144, 80  # pixels of a side at most: of films, of gradients, which are all noise
QUALITY = 70  # of WebP
COLOURS = "inferno"  # dark to light, also for the colour-blind and on gray paper
OPAQUE = 0.75  # of the strongest place of an overlay
BRIGHTEST = 99.0  # percentile of a gradient that is white: single pixels would hide the rest
TALL, WIDE = ("upper", "middle", "lower"), ("left", "centre", "right")

Pixels = npt.NDArray[np.uint8]


def film(pixels: Pixels) -> str:
    """A packed film [P, P] as a data URI."""
    return _uri(_gray(pixels))


def overlay(pixels: Pixels, cam: Map) -> str:
    """A map [S, S] in colours over its film [P, P], clearer where it is stronger."""
    gray = _gray(pixels)
    strength = scaled(cam, gray.size[0], 100.0)
    colour = mpl.colormaps[COLOURS](strength)[..., :3]
    share = OPAQUE * strength[..., None]
    base = np.asarray(gray, np.float64)[..., None] / 255
    return _uri(Image.fromarray(np.uint8(255 * (base * (1 - share) + colour * share))))


def gradient(found: Map) -> str:
    """A gradient [S, S] in colours; the mean of several pixels where they are too many to show."""
    strength = scaled(found, min(found.shape[0], FINEST), BRIGHTEST)
    return _uri(Image.fromarray(np.uint8(255 * mpl.colormaps[COLOURS](strength)[..., :3])))


def scaled(found: Map, side: int, percentile: float) -> npt.NDArray[np.float64]:
    """A map [S, S] as shown: [side, side], 1 where it is as strong as its own percentile.

    All 0 where it is 0 everywhere.
    """
    picture = Image.fromarray(found.astype(np.float32))
    stretched = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR), np.float64)
    most = float(np.percentile(stretched, percentile)) or float(stretched.max())
    return np.clip(stretched / most, 0, 1) if most > 0 else np.zeros_like(stretched)


def strongest(found: Map) -> str | None:
    """Which ninth of the picture a map [S, S] is strongest in; None where it is the same all over.

    Left and right are the picture's, as it is looked at.
    """
    if found.max() <= found.min():
        return None
    rows = np.array_split(np.arange(found.shape[0]), 3)
    means = [[float(part.mean()) for part in np.array_split(found[r], 3, axis=1)] for r in rows]
    y, x = divmod(int(np.argmax(means)), 3)
    if (y, x) == (1, 1):
        return "in the centre"
    return f"{TALL[y]} {WIDE[x]}"


def _gray(pixels: Pixels) -> Image.Image:
    picture = Image.fromarray(pixels)
    if picture.size[0] <= SHOWN:
        return picture
    return picture.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)


def _uri(picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"

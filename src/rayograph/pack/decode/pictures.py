"""A picture in, one gray film out, by the steps that the recipe names."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from rayograph.data.recipe import ImageRecipe
from rayograph.errors import one_line

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
MAX_PIXELS = 50_000_000  # a film has 20 million at most; more is a decompression bomb
MAX_SIDE = 65_535  # Pillow takes 48 bytes for each pixel of a side that it shrinks

Film = npt.NDArray[np.uint8]


class UnusableError(Exception):
    """An original that cannot be used; the message is the reason that `rejected.parquet` gives."""


def decode(original: bytes, recipe: ImageRecipe) -> Film:
    """The film of an original file's bytes: uint8 [size, size].

    Raises `UnusableError` where there is no usable picture.
    """
    try:
        upright = ORIENT[recipe.orientation](_open(original))
        film = _resized(_gray(upright, recipe), recipe)
    except UnusableError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes; one film, not the pack
        raise UnusableError(one_line(error)) from None
    if film.min() == film.max():
        raise UnusableError("one flat gray, no picture")
    return film


def _open(original: bytes) -> Image.Image:
    if not original:
        raise UnusableError("zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about odd metadata, which is not used
            image = Image.open(io.BytesIO(original), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                limit = f"{MAX_PIXELS} or a side of {MAX_SIDE}"
                raise UnusableError(f"{image.width}x{image.height} pixels, more than {limit}")
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise UnusableError(f"{frames} frames in one file")
            image.load()
            return image
    except UnidentifiedImageError:
        raise UnusableError(f"not a film in {', '.join(FORMATS)}") from None


def _gray(image: Image.Image, recipe: ImageRecipe) -> Image.Image:
    """A picture of mode L, or F in 0 to 255 where the original has more than 8 bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return SCALE[recipe.range](np.asarray(image))
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):  # what a viewer shows on black
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image).convert("RGB")
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
    return GRAY[recipe.gray](image)


def _by_bits_in_use(pixels: npt.NDArray[np.generic]) -> Image.Image:
    values = pixels.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        raise UnusableError("negative or infinite gray values")
    bits = max(8, int(values.max()).bit_length())
    return Image.fromarray(values * np.float32(255.0 / (2**bits - 1)))


def _resized(gray: Image.Image, recipe: ImageRecipe) -> Film:
    values = np.asarray(RESIZE[recipe.resize](gray, recipe.size, RESAMPLE[recipe.resample]))
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _cropped(gray: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The short side to `size`, the centre of the long one."""
    return ImageOps.fit(gray, (size, size), resample)


def _fitted(gray: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The long side to `size`, black beside the short one."""
    small = ImageOps.contain(gray, (size, size), resample)
    canvas = Image.new(gray.mode, (size, size))
    canvas.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return canvas


# What each word of a recipe does.
ORIENT: dict[str, Callable[[Image.Image], Image.Image]] = {"exif": ImageOps.exif_transpose}
GRAY: dict[str, Callable[[Image.Image], Image.Image]] = {"bt601": lambda image: image.convert("L")}
SCALE = {"bits in use": _by_bits_in_use}
RESIZE = {"crop": _cropped, "fit": _fitted}
RESAMPLE = {"lanczos": Image.Resampling.LANCZOS}

"""One original in, one gray film out: the recipe, the same for pack and predict."""

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from rayograph.data.dataset import Recipe
from rayograph.errors import one_line

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
MAX_PIXELS = 50_000_000  # a film has 20 million at most; more is a decompression bomb
MAX_SIDE = 65_535  # Pillow takes 48 bytes for each pixel of a side that it shrinks

Film = npt.NDArray[np.uint8]


class FilmError(Exception):
    """An original that cannot be used; the message is the reason that `rejected.parquet` gives."""


def read(original: bytes, recipe: Recipe) -> Film:
    """The film of an original file's bytes: uint8 of shape [size, size].

    Orientation from EXIF, gray by ITU-R BT.601, more than 8 bits scaled by the bits in use,
    Lanczos to the recipe's size. Raises `FilmError` where there is no usable picture.
    """
    try:
        film = _resized(_gray(_open(original)), recipe)
    except FilmError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes; one film, not the pack
        raise FilmError(one_line(error)) from None
    if film.min() == film.max():
        raise FilmError("one flat gray, no picture")
    return film


def _open(original: bytes) -> Image.Image:
    if not original:
        raise FilmError("zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about odd metadata, which is not used
            image = Image.open(io.BytesIO(original), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                limit = f"{MAX_PIXELS} or a side of {MAX_SIDE}"
                raise FilmError(f"{image.width}x{image.height} pixels, more than {limit}")
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise FilmError(f"{frames} frames in one file")
            image.load()
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise FilmError(f"not a film in {', '.join(FORMATS)}") from None


def _gray(image: Image.Image) -> Image.Image:
    """A picture of mode L, or F in 0 to 255 where the original has more than 8 bits."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(np.asarray(image))
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa"):  # what a viewer shows on black
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image).convert("RGB")
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
    return image.convert("L")


def _from_deep(pixels: npt.NDArray[np.generic]) -> Image.Image:
    values = pixels.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        raise FilmError("negative or infinite gray values")
    bits = max(8, int(values.max()).bit_length())
    return Image.fromarray(values * np.float32(255.0 / (2**bits - 1)))


def _resized(gray: Image.Image, recipe: Recipe) -> Film:
    size = recipe.size
    if recipe.resize == "crop":
        gray = ImageOps.fit(gray, (size, size), Image.Resampling.LANCZOS)
    else:
        gray = ImageOps.contain(gray, (size, size), Image.Resampling.LANCZOS)
        canvas = Image.new(gray.mode, (size, size))
        canvas.paste(gray, ((size - gray.width) // 2, (size - gray.height) // 2))
        gray = canvas
    values = np.asarray(gray)
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)

"""A picture in, one gray film out, by the steps that the recipe names."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from rayograph.data.recipe import ImageRecipe
from rayograph.errors import one_line
from rayograph.pack.decode.decoded import Decoded
from rayograph.pack.decode.errors import UnusableError
from rayograph.pack.decode.forms import FORMATS, Form, form_of, why_not
from rayograph.pack.decode.signs import coloured, looks_inverted

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
GRAYS = ("1", "L", "LA", "La", "I", "F")
MAX_PIXELS = 50_000_000  # a film has 20 million at most; more is a decompression bomb
GLANCE = 128
MAX_SIDE = 65_535  # Pillow takes 48 bytes for each pixel of a side that it shrinks

Film = npt.NDArray[np.uint8]


def decode(original: bytes, recipe: ImageRecipe) -> Decoded:
    """The film of an original file's bytes, uint8 [size, size], and what is told of it beside.

    That is its size as it came, its format and mode, the share of its pixels that are coloured
    (None of gray modes), and whether it looks inverted.

    Raises `UnusableError` where there is no usable picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about odd metadata, which is not used
            image, form = _open(original)
        upright = ORIENT[recipe.orientation](image)
        gray = _gray(upright, form, recipe)
        film = resized(gray, recipe)
        metadata = {"coloured": _coloured(upright), "inverted": looks_inverted(glance(gray))}
    except UnusableError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes; one film, not the pack
        raise UnusableError(one_line(error)) from None
    if film.min() == film.max():
        raise UnusableError("one flat gray, no picture")
    width, height = upright.size
    size = {"width": width, "height": height}
    return Decoded(film, {**size, "format": image.format, "mode": image.mode, **metadata})


def _open(original: bytes) -> tuple[Image.Image, Form]:
    if not original:
        raise UnusableError("zero bytes")
    try:
        image = Image.open(io.BytesIO(original), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            limit = f"{MAX_PIXELS} or a side of {MAX_SIDE}"
            raise UnusableError(f"{image.width}x{image.height} pixels, more than {limit}")
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise UnusableError(f"{frames} frames in one file")
        form = form_of(image, original)
        image.load()
        return image, form
    except UnidentifiedImageError:
        raise UnusableError(why_not(original)) from None
    except OSError as error:
        if str(error).startswith("decoder error"):  # and a number, by libtiff
            raise UnusableError("truncated or damaged") from None
        raise


def _gray(image: Image.Image, form: Form, recipe: ImageRecipe) -> Image.Image:
    """A picture of mode L."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if "transparency" in image.info:
            values = np.where(values == image.info["transparency"], 0, values)
        values = values.view(np.uint32) if form.unsigned else values
        if isinstance(recipe.range, str):
            return SCALE[recipe.range](values, form)
        return _by_range(values, form, recipe.range)
    if form.bits == 16:
        _check_high_bytes(image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode == "P" or "transparency" in image.info:
        image = _with_alpha(image, form.bits)
    if image.mode in ("LA", "PA", "RGBA", "RGBa"):  # what a viewer shows on black
        image = image.convert("RGBA")
        if image.getchannel("A").getbbox() is None:
            raise UnusableError("every pixel is transparent")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image).convert("RGB")
    if image.mode not in ("1", "L"):
        image = image.convert("RGB")
    return GRAY[recipe.gray](image)


def _coloured(image: Image.Image) -> float | None:
    """The share of clearly coloured pixels, 0 to 1; None of a mode that has no colour."""
    if image.mode in GRAYS or image.mode.startswith("I;16"):
        return None
    step = -(-max(image.size) // 128)
    size = (max(1, image.width // step), max(1, image.height // step))
    few = image.resize(size, Image.Resampling.NEAREST)
    if few.mode in ("PA", "RGBa"):
        few = few.convert("RGBA")
    return round(coloured(np.asarray(few.convert("RGB"))), 4)


def _with_alpha(image: Image.Image, bits: int) -> Image.Image:
    """With an alpha channel instead of a palette, or of one transparent level or colour."""
    if image.mode == "L" and bits < 8:  # Pillow spreads the levels, and leaves this one
        image.info["transparency"] *= 255 // (2**bits - 1)
    if image.mode == "RGB" and bits == 16:
        image.info["transparency"] = tuple(level >> 8 for level in image.info["transparency"])
    return image.convert("RGBA")


def _check_high_bytes(image: Image.Image) -> None:
    """16-bit colour comes as its high bytes: of 12 bits in use, 4 would be left."""
    high = int(np.asarray(image)[..., : 4 if image.mode == "CMYK" else 3].max())
    if high < 128:
        bits = 8 + high.bit_length()
        raise UnusableError(f"16-bit colour with {bits} bits in use; save it gray or in 8 bits")


def _by_bits_in_use(pixels: npt.NDArray[np.generic], form: Form) -> Image.Image:
    """Gray levels 0 to 255 of 0 to 2^bits - 1 (the bits of the largest value), floats of 0 to 1."""
    values = pixels.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        raise UnusableError("gray values that are negative or not finite")
    top = float(pixels.max())
    white = 2.0 ** max(8, int(top).bit_length()) - 1
    if pixels.dtype.kind == "f" and top < 128:
        if top > 1:
            raise UnusableError(f"floats up to {top:g}: neither 0 to 1 nor gray levels")
        white = 1.0
    levels = np.rint(values * np.float32(255 / white)).clip(max=255).astype(np.uint8)
    return Image.fromarray(255 - levels if form.inverted else levels)


def _by_range(
    pixels: npt.NDArray[np.generic], form: Form, ends: tuple[float, float]
) -> Image.Image:
    """Gray levels 0 to 255 of the first to the second number, and beyond them black and white."""
    values = pixels.astype(np.float32)
    if not np.isfinite(values).all():
        raise UnusableError("gray values that are not finite")
    low, high = ends
    unit = ((values - np.float32(low)) * np.float32(1 / (high - low))).clip(0, 1)
    levels = np.rint(unit * np.float32(255)).astype(np.uint8)
    return Image.fromarray(255 - levels if form.inverted else levels)


def resized(gray: Image.Image, recipe: ImageRecipe) -> Film:
    """The film [size, size] of a picture of mode L."""
    return np.array(RESIZE[recipe.resize](gray, recipe.size, RESAMPLE[recipe.resample]))


def glance(gray: Image.Image) -> Film:
    """A picture of mode L, uint8 [128, 128], by its nearest pixels: enough to see its polarity."""
    return np.asarray(gray.resize((GLANCE, GLANCE), Image.Resampling.NEAREST))


def _upright(image: Image.Image) -> Image.Image:
    ImageOps.exif_transpose(image, in_place=True)  # a copy of a film takes half a millisecond
    return image


def _as_levels(image: Image.Image) -> Image.Image:
    return image if image.mode == "L" else image.convert("L")


def _cropped(gray: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The short side to `size`, the centre of the long one."""
    return ImageOps.fit(gray, (size, size), resample)


def _fitted(gray: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The long side to `size`, black beside the short one."""
    small = ImageOps.contain(gray, (size, size), resample)
    canvas = Image.new(gray.mode, (size, size))
    canvas.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return canvas


def _stretched(gray: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """Both sides to `size`, whatever the aspect ratio is."""
    return gray.resize((size, size), resample)


# What each word of a recipe does.
ORIENT: dict[str, Callable[[Image.Image], Image.Image]] = {"exif": _upright}
GRAY: dict[str, Callable[[Image.Image], Image.Image]] = {"bt601": _as_levels}
SCALE = {"bits in use": _by_bits_in_use}
RESIZE = {"crop": _cropped, "fit": _fitted, "stretch": _stretched}
RESAMPLE = {"lanczos": Image.Resampling.LANCZOS}

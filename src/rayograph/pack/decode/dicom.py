"""A DICOM file in, one gray film out: contract 3's steps, in the order of PS3.3 C.11."""

import io
import logging
import re
import warnings

import numpy as np
from PIL import Image
from pydicom import Dataset, config, dcmread
from pydicom.uid import UID

from rayograph.data.recipe import ImageRecipe
from rayograph.errors import one_line
from rayograph.pack.decode import dicom_header, dicom_pixels, pictures, signs
from rayograph.pack.decode.decoded import Decoded, Identity, Value
from rayograph.pack.decode.dicom_gray import shades
from rayograph.pack.decode.errors import UnusableError

SQUARE = 0.01  # pixels whose sides differ by less are square
QUOTED = re.compile(r"""'[^']*('|$)|"[^"]*("|$)""")  # what an error quotes may name somebody
ODDEST = 10.0  # no film's pixels are longer than that; such a ratio is an error of the header

config.settings.reading_validation_mode = config.IGNORE  # real archives break every rule
logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it tells what the reason tells anyway


def decode(original: bytes, recipe: ImageRecipe) -> Decoded:
    """The film of a DICOM file's bytes, uint8 [size, size], and what its header says.

    Raises `UnusableError` where there is no usable picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(original, recipe)
    except UnusableError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes; one film, not the pack
        raise UnusableError(f"damaged DICOM: {QUOTED.sub('…', one_line(error))}") from None


def identity(original: bytes) -> Identity:
    """Who a film that cannot be used is, as far as its header can be read.

    Nothing of one that cannot be read: then nothing of it is known, and nothing of it is told.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dicom_pixels.check_deflated(original)
            header = dcmread(io.BytesIO(original), force=True, stop_before_pixels=True)
            return Identity(dicom_header.identifiers(header), dicom_header.private(header, {}))
    except Exception:
        return Identity({}, ())


def _decoded(original: bytes, recipe: ImageRecipe) -> Decoded:
    dicom_pixels.check_deflated(original)
    header = dcmread(io.BytesIO(original), force=True)
    syntax = dicom_pixels.check(header)
    gray, window = _gray(header, syntax, recipe)
    film = pictures.resized(_square(gray, header), recipe)
    if film.min() == film.max():
        raise UnusableError("one flat gray, no picture")
    words = dicom_header.code(header, "PhotometricInterpretation")
    metadata: dict[str, Value] = {
        "width": int(header.Columns),
        "height": int(header.Rows),
        "format": "DICOM",
        "mode": f"{words} {header.BitsStored}/{header.BitsAllocated}",
        **dicom_header.metadata(header),
        "transfer_syntax": syntax.name,
        "window": window,
        "inverted": signs.looks_inverted(pictures.glance(gray)),
    }
    metadata["burnt_in"] = bool(metadata["burnt_in"]) or signs.has_text(np.asarray(gray))
    private = dicom_header.private(header, metadata)
    public = dicom_header.cleared(metadata, private)
    return Decoded(film, public, dicom_header.identifiers(header), private)


def _gray(header: Dataset, syntax: UID, recipe: ImageRecipe) -> tuple[Image.Image, str | None]:
    """A picture of mode L, and the window that made it."""
    if dicom_header.code(header, "PhotometricInterpretation") in dicom_pixels.GRAY:
        codes, levels = dicom_pixels.stored(header, syntax)
        table, window = shades(header, levels, recipe)
        if codes.dtype == np.uint8:
            return Image.fromarray(codes).point(table.tolist()), window
        return Image.fromarray(np.take(table, codes)), window
    colour = dicom_pixels.colour(header, syntax)
    return pictures.GRAY[recipe.gray](Image.fromarray(colour, "RGB")), None


def _square(gray: Image.Image, header: Dataset) -> Image.Image:
    """The picture with square pixels; the longer side of a pixel is filled up, if there is room."""
    sides = dicom_header.numbers(header, "PixelAspectRatio")
    if len(sides) != 2 or not all(side > 0 for side in sides):
        sides = dicom_header.spacing(header) or [1.0, 1.0]
    ratio = sides[0] / sides[1]  # height of a pixel over its width
    if abs(ratio - 1) <= SQUARE or not 1 / ODDEST <= ratio <= ODDEST:
        return gray
    width, height = gray.width, round(gray.height * ratio)
    if ratio < 1:
        width, height = round(gray.width / ratio), gray.height
    if width * height > pictures.MAX_PIXELS or max(width, height) > pictures.MAX_SIDE:
        width, height = (round(gray.width / ratio), gray.height)
        if ratio < 1:
            width, height = gray.width, round(gray.height * ratio)
    return gray.resize((max(width, 1), max(height, 1)), Image.Resampling.LANCZOS)

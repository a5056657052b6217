"""What a file says of its samples beyond Pillow's mode, and which forms cannot be told apart.

Pillow reads TIFF by libtiff only where it must; its own reader takes planes of 16 bits for planes
of 8, and both leave `MinIsWhite` of more than 8 bits as it is. The tags: TIFF 6.0 (Adobe, 1992).
"""

import io
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image, TiffImagePlugin
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from rayograph.errors import one_line
from rayograph.pack.decode.errors import UnusableError

TiffImagePlugin.READ_LIBTIFF = True

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
YCBCR, JPEG = 6, 7  # of the tags PhotometricInterpretation and Compression
SAMPLES = {1: "unsigned", 2: "signed", 3: "float", 5: "complex", 6: "complex"}
COLOURS = {0: "MinIsWhite", 1: "MinIsBlack", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}  # libtiff swaps the bytes
REPRESENTATIONS = (b"UL", b"OB", b"UI", b"CS", b"LO", b"SH", b"DA", b"TM", b"ST", b"US", b"DT")
BMP_BITS = {"1": 1, "L": 8}  # what Pillow presumes where a palette is gray


@dataclass(frozen=True)
class Form:
    """What is needed, beside the mode, to read the samples of a picture as gray levels."""

    bits: int = 8  # a sample; of JPEG, WEBP and BMP always 8 as far as it matters
    unsigned: bool = False  # where Pillow has them as signed 32 bits
    inverted: bool = False  # 0 is white, which Pillow mends itself in 8 bits and fewer


def form_of(image: ImageFile, original: bytes) -> Form:
    """The form of an opened picture, before it is loaded; `UnusableError` where it is ambiguous."""
    if isinstance(image, TiffImageFile):
        return _of_tiff(image)
    if image.format == "PNG":
        return Form(bits=original[24])
    if image.mode == "CMYK" and "adobe" not in image.info:
        raise UnusableError("a CMYK JPEG that does not say (Adobe's marker) whether 0 is ink")
    if image.format == "BMP" and image.mode in BMP_BITS and image.tile[0].codec_name == "raw":
        bits = original[24 if original[14] == 12 else 28]  # by the two kinds of header
        if bits != BMP_BITS[image.mode]:
            raise UnusableError(f"a BMP of {bits} bits with a palette of fewer grays")
    return Form()


def _of_tiff(image: TiffImageFile) -> Form:
    tags = image.tag_v2
    bits, (kind, *_) = max(tags.get(Base.BitsPerSample, (1,))), tags.get(Base.SampleFormat, (1,))
    planes = tags.get(Base.PlanarConfiguration, 1) == 2
    colour = tags.get(Base.PhotometricInterpretation)
    if colour is None:
        raise UnusableError("a TIFF without PhotometricInterpretation: is 0 black or white?")
    if colour == YCBCR and Base.YCbCrSubSampling not in tags and tags[Base.Compression] != JPEG:
        raise UnusableError("a YCbCr TIFF without YCbCrSubSampling")  # 2 by 2, or forgotten?
    one = tags.get(Base.SamplesPerPixel, 1) == 1
    known = kind == 1 or bits > 8  # Pillow takes -1 of 8 bits for 255
    if not known or (planes and image.mode in ("LA", "La", "PA")) or (colour == YCBCR and one):
        raise UnusableError(_words(tags))
    if image.mode in ("P", "PA") and max(tags[Base.ColorMap]) < 256:
        raise UnusableError("a TIFF palette of 8-bit levels, where the format has 16 bits")
    (tile,) = image.tile  # libtiff's is the whole picture
    rawmode, *rest = cast(tuple[Any, ...], tile.args)
    image.tile = [tile._replace(args=(NATIVE.get(rawmode, rawmode), *rest))]
    return Form(bits, unsigned=bits == 32 and kind == 1, inverted=bits > 8 and colour == 0)


def _words(tags: ImageFileDirectory_v2) -> str:
    bits, kinds = tags.get(Base.BitsPerSample, (1,)), tags.get(Base.SampleFormat, (1,))
    colour = tags.get(Base.PhotometricInterpretation, -1)
    order = ", big-endian" if tags.prefix == b"MM" else ""
    planes = ", in planes" if tags.get(Base.PlanarConfiguration, 1) == 2 else ""
    kind = SAMPLES.get(kinds[0], f"sample format {kinds[0]}")
    what = f"{'+'.join(map(str, bits))} bits {kind}, {COLOURS.get(colour, f'photometric {colour}')}"
    return f"a TIFF of {what}{planes}{order} is not read; save it as a gray PNG of 8 or 16 bits"


def why_not(original: bytes) -> str:
    """The reason why Pillow does not open an original."""
    for kind in FORMATS:
        factory, accept = Image.OPEN[kind]
        if accept and accept(original[:16]) is True:
            try:
                factory(io.BytesIO(original), "")
            except SyntaxError as error:
                said = one_line(error)
                return _tags_of(original) if said == "unknown pixel mode" else f"{kind}: {said}"
    return f"not a film in DICOM, {', '.join(FORMATS)}"


def is_dicom(original: bytes) -> bool:
    """Whether a file is DICOM by its content; real archives have some without preamble."""
    if original[128:132] == b"DICM":
        return True
    if original[:2] in (b"\0\2", b"\0\10"):  # big endian is always explicit
        return original[4:6] in REPRESENTATIONS
    if original[:2] not in (b"\2\0", b"\10\0") or original[3:4] not in (b"\0", b"\20", b"\1"):
        return False
    length = int.from_bytes(original[4:8], "little")
    return original[4:6] in REPRESENTATIONS or (length < 1024 and len(original) > length + 8)


def _tags_of(original: bytes) -> str:
    tags = ImageFileDirectory_v2(original[: 16 if original[2] == 43 else 8])
    file = io.BytesIO(original)
    file.seek(tags.next)
    tags.load(file)
    return _words(tags)

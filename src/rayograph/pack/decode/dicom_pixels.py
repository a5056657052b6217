"""The stored pixels of a DICOM file, or the reason why there are none."""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset, uid
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import get_expected_length

from rayograph.errors import one_line
from rayograph.pack.decode import dicom_codecs
from rayograph.pack.decode.dicom_gray import Levels
from rayograph.pack.decode.dicom_header import code, numbers
from rayograph.pack.decode.errors import NO_PICTURE, UnusableError
from rayograph.pack.decode.pictures import MAX_PIXELS, MAX_SIDE

GRAY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
DEFLATED = uid.DeflatedExplicitVRLittleEndian
NATIVE = (
    uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, DEFLATED,
)  # fmt: skip
READ = (*NATIVE, *dicom_codecs.OURS, uid.JPEGBaseline8Bit)
ITEM = b"\xfe\xff\x00\xe0"  # what encapsulated pixel data begin with
MOST_INFLATED = 4 * MAX_PIXELS  # bytes
LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT")  # 4 bytes of length
DEFAULTS = {"SamplesPerPixel": 1, "PixelRepresentation": 0, "PlanarConfiguration": 0}


def check_deflated(original: bytes) -> None:
    """Raise `UnusableError` where a deflated file is a bomb; pydicom inflates whatever comes."""
    if DEFLATED.encode() not in original[:4096]:
        return
    at = 132 if original[128:132] == b"DICM" else 0
    while original[at : at + 2] == b"\2\0":  # the meta header, which is not deflated
        long = original[at + 4 : at + 6] in LONG
        length = original[at + 8 : at + 12] if long else original[at + 6 : at + 8]
        at += (12 if long else 8) + int.from_bytes(length, "little")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflate.decompress(original[at:], MOST_INFLATED)
    if inflate.unconsumed_tail:
        raise UnusableError(f"more than {MOST_INFLATED} bytes when it is inflated")


def check(header: Dataset) -> uid.UID:
    """The transfer syntax of the pixels; `UnusableError` where they are none that can be read.

    What is missing in the header, and has a usual value, is filled in.
    """
    if "PixelData" not in header:
        floats = "FloatPixelData" in header or "DoubleFloatPixelData" in header
        kind = header.get("SOPClassUID") or getattr(header, "file_meta", Dataset()).get(
            "MediaStorageSOPClassUID"
        )
        name = uid.UID(kind).name if str(kind or "").startswith("1.2.840.10008.") else "unknown"
        raise UnusableError(f"{'floats as pixel data' if floats else NO_PICTURE} ({name})")
    frames = numbers(header, "NumberOfFrames") or [1.0]
    if frames[0] > 1:
        raise UnusableError(f"{frames[0]:.0f} frames in one file")
    if np.isnan(frames[0]):
        raise UnusableError(one_line(f"NumberOfFrames is {header.NumberOfFrames}"))
    header.NumberOfFrames = 1
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        if not isinstance(header.get(keyword), int) or header[keyword].value < 1:
            raise UnusableError(f"{keyword} is {one_line(header.get(keyword))}")
    rows, columns, bits = header.Rows, header.Columns, header.BitsAllocated
    if rows * columns * max(bits, 16) > 16 * MAX_PIXELS or max(rows, columns) > MAX_SIDE:
        limit = f"{MAX_PIXELS} (of 16 bits) or a side of {MAX_SIDE}"
        raise UnusableError(f"{columns}x{rows} pixels, more than {limit}")
    for keyword, value in DEFAULTS.items():
        if not isinstance(header.get(keyword), int):
            setattr(header, keyword, value)
    if not isinstance(header.get("BitsStored"), int) or not 1 <= header.BitsStored <= bits:
        header.BitsStored = bits
    if (
        not isinstance(header.get("HighBit"), int)
        or not header.BitsStored - 1 <= header.HighBit < bits
    ):
        header.HighBit = header.BitsStored - 1
    _check_kind(header)
    return _syntax(header)


def _check_kind(header: Dataset) -> None:
    kind, samples = code(header, "PhotometricInterpretation"), header.SamplesPerPixel
    if kind is None:
        raise UnusableError("no PhotometricInterpretation: is 0 black or white?")
    if samples != (3 if kind in COLOURS else 1) or kind not in (*GRAY, *COLOURS, PALETTE):
        raise UnusableError(f"{kind} of {samples} samples a pixel is not read")
    allowed = (1, 8, 16, 32) if kind in GRAY else (8, 16)
    if header.BitsAllocated not in allowed:
        raise UnusableError(f"{kind} of {header.BitsAllocated} bits allocated is not read")
    header.PhotometricInterpretation = kind


def _syntax(header: Dataset) -> uid.UID:
    """What the pixel data are, whatever the header says of them."""
    meta = getattr(header, "file_meta", None)
    said = meta.get("TransferSyntaxUID") if meta is not None else None
    value = header["PixelData"].value
    if not isinstance(value, bytes) or not value:
        raise UnusableError("pixel data without a byte")
    if said is not None and said not in READ:
        raise UnusableError(one_line(f"transfer syntax {said.name} is not read"))
    implicit, little = header.original_encoding
    usual = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    native = said if said in NATIVE else usual if little is not False else uid.ExplicitVRBigEndian
    if value[:4] != ITEM or (said in NATIVE and len(value) == _expected(header)):
        found = native
    else:
        found = dicom_codecs.codec_of(dicom_codecs.first_frame(value)) or said
        same_family = said in dicom_codecs.OURS and dicom_codecs.alike(said, found)
        found = said if same_family else found
    if found is None or found not in READ:
        raise UnusableError("compressed pixels of no codec that is read")
    if meta is not None:
        meta.TransferSyntaxUID = found  # pydicom compares
    return uid.UID(found)


def _expected(header: Dataset) -> int:
    return int(get_expected_length(header))


def _decoded(header: Dataset, syntax: uid.UID, **options: Any) -> npt.NDArray[Any]:
    rows, columns, samples = header.Rows, header.Columns, header.SamplesPerPixel
    value = header["PixelData"].value
    if syntax.is_encapsulated:
        data = dicom_codecs.first_frame(value)
        dicom_codecs.check(data, syntax, rows, columns, samples)
    elif len(value) < (expected := _expected(header)):
        raise UnusableError(f"truncated pixel data: {len(value)} bytes of {expected}")
    decoder, plugin = dicom_codecs.decoder(syntax)
    try:
        pixels: npt.NDArray[Any] = decoder.as_array(
            header, decoding_plugin=plugin, allow_excess_frames=False, **options
        )[0]
    except RuntimeError as error:  # pydicom's, around what a decoder said
        raise UnusableError(one_line(str(error).partition(f"{plugin}: ")[2] or error)) from None
    return pixels


def stored(header: Dataset, syntax: uid.UID) -> tuple[npt.NDArray[Any], Levels]:
    """For each pixel [rows, columns] the place of its value in the levels, and those."""
    masked = not syntax.is_encapsulated or syntax == uid.RLELossless
    options = {"correct_unused_bits": False} if masked else {}
    pixels = _decoded(header, syntax, raw=True, **options)
    signed = header.PixelRepresentation == 1
    width = 8 * pixels.dtype.itemsize
    codes = pixels.astype(pixels.dtype.newbyteorder("="), copy=False).view(f"u{width // 8}")
    bits = width
    if masked and header.BitsAllocated > 1:
        bits = header.BitsStored
        codes = (codes >> (header.HighBit + 1 - bits)) & np.array(2**bits - 1, codes.dtype)
    if bits > 16:
        every, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    else:
        every = np.arange(2 ** max(bits, 8))
        counts = _counted(codes, len(every))
    values = every.astype(np.float64)
    if signed:
        values[values >= 2 ** (bits - 1)] -= 2**bits
    return codes, Levels(values, counts, _padding(header, values, bits, signed))


def _counted(codes: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
    if codes.dtype == np.uint8:
        return np.array(Image.fromarray(codes).histogram(), np.int64)
    counts = np.zeros(length, np.int64)
    for part in np.array_split(codes.ravel(), 1 + codes.size // 2**20):  # 8 bytes a pixel are taken
        counts += np.bincount(part, minlength=length)
    return counts


def _padding(
    header: Dataset, values: npt.NDArray[np.float64], bits: int, signed: bool
) -> npt.NDArray[np.bool_]:
    """Which values mean that there is no pixel."""
    ends = numbers(header, "PixelPaddingValue")[:1]
    ends += numbers(header, "PixelPaddingRangeLimit")[:1] if ends else []
    if not ends or not np.isfinite(ends).all():
        return np.zeros(len(values), np.bool_)
    if signed:  # the header may have them as unsigned
        ends = [end - 2**16 if end >= 2 ** (bits - 1) and end >= 2**15 else end for end in ends]
    return (values >= min(ends)) & (values <= max(ends))


def colour(header: Dataset, syntax: uid.UID) -> npt.NDArray[np.uint8]:
    """RGB uint8 [rows, columns, 3]."""
    if header.PhotometricInterpretation == PALETTE:
        pixels = apply_color_lut(_decoded(header, syntax, raw=True), header)[..., :3]
        bits = 8 * pixels.dtype.itemsize
        if bits == 16 and pixels.max() < 256:  # entries of 8 bits in 16
            bits = 8
    else:
        pixels = _decoded(header, syntax, as_rgb=True)
        bits = header.BitsStored
    if pixels.dtype.kind == "i":
        raise UnusableError("colour of signed samples is not read")
    return (pixels >> max(bits - 8, 0)).astype(np.uint8)

"""Compressed pixels of DICOM: which codec it is, and its header before the codec sees it.

A plug-in of pydicom for what Pillow does not decode exactly: libjpeg-turbo (12 bits, lossless),
CharLS and OpenJPEG by `imagecodecs`. They decode what a header says, so that must be the film.
"""

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from rayograph.pack.decode.errors import UnusableError

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

PLUGIN = "rayograph"
SIZES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # markers of JPEG's frames
JPEG = {0xC0: uid.JPEGBaseline8Bit, 0xC1: uid.JPEGExtended12Bit,
        0xC3: uid.JPEGLossless, 0xF7: uid.JPEGLSLossless}  # fmt: skip
OURS = (
    uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless,
    uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000, uid.RLELossless,
)  # fmt: skip
DECODER_DEPENDENCIES = dict.fromkeys(OURS, ("imagecodecs",))  # pydicom asks for it
MOST_PARTS = 4096  # tiles of JPEG 2000; a film has a few, and each takes memory

Shape = tuple[int, int, int, int]  # rows, columns, samples of a pixel, bits of a sample


def is_available(syntax: str) -> bool:
    """Whether this plug-in decodes a transfer syntax; pydicom asks."""
    return syntax in OURS


def codec_of(data: bytes) -> uid.UID | None:
    """The transfer syntax that a codestream is of by its first bytes; None where it is unknown."""
    if data[:2] == b"\xff\xd8":
        marker, shape = _jpeg_frame(data)
        if marker == 0xC0 and shape[3] > 8:
            marker = 0xC1
        return JPEG.get(marker)
    if _codestream(data)[:4] == b"\xff\x4f\xff\x51":
        return uid.JPEG2000
    if len(data) > 64 and 1 <= data[0] <= 15 and data[1:8] == b"\0\0\0\x40\0\0\0":
        return uid.RLELossless
    return None


def alike(said: uid.UID, found: uid.UID | None) -> bool:
    """Whether what a header says, and what the pixels are, have one decoder of ours."""
    families = (uid.JPEGLSTransferSyntaxes, uid.JPEG2000TransferSyntaxes,
                (uid.JPEGLossless, uid.JPEGLosslessSV1))  # fmt: skip
    return said == found or any(said in each and found in each for each in families)


def first_frame(value: bytes) -> bytes:
    """The codestream in encapsulated pixel data of one frame."""
    return bytes(get_frame(value, 0, number_of_frames=1))


def check(data: bytes, syntax: uid.UID, rows: int, columns: int, samples: int) -> None:
    """Raise `UnusableError` where a codestream is of another size, or its end is missing."""
    if syntax == uid.RLELossless:
        return
    jpeg2000 = syntax in uid.JPEG2000TransferSyntaxes
    if not jpeg2000 and _jpeg_frame(data)[0] not in JPEG:
        raise UnusableError("a progressive or arithmetic JPEG, which DICOM does not have")
    found = _jpeg2000_shape(data) if jpeg2000 else _jpeg_frame(data)[1]
    if found[:3] != (rows, columns, samples):
        said, real = f"{columns}x{rows}, {samples} samples", f"{found[1]}x{found[0]}, {found[2]}"
        raise UnusableError(f"the header says {said}; the compressed pixels are {real}")
    if not 1 <= found[3] <= 16:
        raise UnusableError(f"compressed pixels of {found[3]} bits")
    if not jpeg2000 and b"\xff\xd9" not in data[-64:]:
        raise UnusableError(f"truncated pixel data: {len(data)} bytes without an end")


def decoder(syntax: uid.UID) -> tuple[Any, str]:
    """pydicom's decoder of a transfer syntax, and which of its plug-ins is used."""
    found = get_decoder(syntax)
    if not syntax.is_encapsulated or syntax not in OURS:
        return found, "pillow" if syntax.is_encapsulated else ""
    if PLUGIN not in found.available_plugins:
        found.add_plugin(PLUGIN, (__name__, "decode_frame"))
    return found, PLUGIN


def decode_frame(data: bytes, runner: "DecodeRunner") -> bytes:
    """The pixels of a codestream that `check` has passed, as pydicom's plug-ins give them."""
    syntax = runner.transfer_syntax
    if syntax == uid.RLELossless:
        return _run_lengths(data, runner)
    if syntax in uid.JPEG2000TransferSyntaxes:
        pixels = imagecodecs.jpeg2k_decode(data, numthreads=1)
        if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
            runner.set_option("photometric_interpretation", "RGB")
    elif syntax in uid.JPEGLSTransferSyntaxes:
        pixels = imagecodecs.jpegls_decode(data)
        if pixels.ndim == 3 and pixels.shape[0] == 3 != runner.columns:
            pixels = np.moveaxis(pixels, 0, -1)  # colour by planes
    else:
        raw = "YCBCR" if runner.samples_per_pixel == 3 and syntax == uid.JPEGExtended12Bit else None
        pixels = imagecodecs.jpeg8_decode(data, colorspace=raw, outcolorspace=raw)
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return bytes(pixels.tobytes())


def _run_lengths(data: bytes, runner: "DecodeRunner") -> bytes:
    """Of RLE; pydicom's own decoder is Python, and slow."""
    samples, width = runner.samples_per_pixel, runner.bits_allocated // 8
    count = runner.rows * runner.columns
    parts = struct.unpack_from("<16I", data)
    if parts[0] != samples * width:
        raise UnusableError(f"{parts[0]} segments of RLE, where {samples * width} are needed")
    offsets = [*parts[1 : 1 + parts[0]], len(data)]
    out = np.empty((samples, count, width), np.uint8)
    for number, (start, end) in enumerate(pairwise(offsets)):
        if not 64 <= start < end <= len(data):
            raise UnusableError("damaged offsets of RLE")
        segment = imagecodecs.packbits_decode(data[start:end])
        if len(segment) < count:
            raise UnusableError(f"truncated pixel data: {len(segment)} bytes of {count} in a plane")
        sample, place = divmod(number, width)
        out[sample, :, width - 1 - place] = np.frombuffer(segment, np.uint8, count)
    runner.set_option("planar_configuration", 1)
    return out.tobytes()


def _jpeg_frame(data: bytes) -> tuple[int, Shape]:
    """The marker of a JPEG's frame, and what it says; `UnusableError` where there is none."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker in SIZES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            return marker, (rows, columns, samples, bits)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise UnusableError("compressed pixels without a JPEG frame")


def _codestream(data: bytes) -> bytes:
    """JPEG 2000 out of the boxes that a JP2 file has around it."""
    if data[4:8] != b"jP  ":
        return data
    at = data.find(b"jp2c")
    return data[at + 4 :] if at >= 0 else b""


def _jpeg2000_shape(data: bytes) -> Shape:
    head = _codestream(data)[:64]
    if head[:4] != b"\xff\x4f\xff\x51" or len(head) < 45:
        raise UnusableError("compressed pixels that are no JPEG 2000")
    right, low, left, top, wide, high, x, y, samples = struct.unpack_from(">8IH", head, 8)
    if not (wide and high) or (-(-(right - x) // wide)) * (-(-(low - y) // high)) > MOST_PARTS:
        raise UnusableError("JPEG 2000 of too many tiles, or a damaged header")
    return low - top, right - left, samples, (head[42] & 127) + 1

"""DICOM films that are damaged where their bytes alone would seldom be: codestreams and tags."""

import io
import struct
from collections.abc import Mapping
from functools import partial

import pydicom
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.encaps import encapsulate, get_frame
from pydicom.tag import Tag

from rayograph.pack.decode.dicom_pixels import READ
from tests.fuzz.mutations import damaged

Files = Mapping[str, bytes]
KEYWORDS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "LUTDescriptor", "LUTData", "PhotometricInterpretation", "NumberOfFrames", "WindowCenter",
    "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelAspectRatio", "PixelSpacing",
    "PatientAge", "VOILUTFunction", "PresentationLUTShape",
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from((0, 1, 2, 3, 7, 8, 12, 16, 32, 64, 2**15, 2**16 - 1)), st.integers(0, 2**16 - 1)
)
TEXTS = st.sampled_from((
    "", "1e308", "-1e308", "nan", "inf", "0", "1\\2", "1\\0", "1\\1e9", "x" * 64, "MONOCHROME1",
    "RGB", "PALETTE COLOR", "YBR_FULL_422", "YBR_RCT", "SIGMOID", "LINEAR_EXACT", "INVERSE",
))  # fmt: skip


def fragments(films: Files) -> st.SearchStrategy[Files]:
    """Compressed pixels that are damaged, in fragments that are whole."""
    headers = {name: _read(data) for name, data in films.items()}
    streams = {
        name: get_frame(header.PixelData, 0, number_of_frames=1)
        for name, header in headers.items()
        if header["PixelData"].is_undefined_length
    }
    return st.sampled_from(sorted(streams)).flatmap(
        lambda name: damaged(streams[name]).map(partial(_wrapped, films[name]))
    )


def tags(films: Files) -> st.SearchStrategy[Files]:
    """Wrong numbers and words in the tags that pixels depend on; another transfer syntax."""
    values = st.tuples(NUMBERS, TEXTS)
    changes = st.dictionaries(st.sampled_from(KEYWORDS), values, max_size=4)
    syntaxes = st.one_of(st.none(), st.sampled_from(READ))
    return st.builds(partial(_changed, films), st.sampled_from(sorted(films)), changes, syntaxes)


def _read(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(data), force=True)


def _wrapped(film: bytes, data: bytes) -> Files:
    header, out = _read(film), io.BytesIO()
    header.PixelData = encapsulate([data or b"\0"])
    header.save_as(out)
    return {"film.dcm": out.getvalue()}


def _changed(
    films: Files, name: str, changes: dict[str, tuple[int, str]], syntax: str | None
) -> Files:
    header, out = _read(films[name]), io.BytesIO()
    sequences = [header.get(key) for key in ("VOILUTSequence", "ModalityLUTSequence")]
    items = [header, *(each[0] for each in sequences if each)]
    for keyword, (number, word) in changes.items():
        for item in items:
            kind = dictionary_VR(keyword)
            if not kind.startswith("US"):
                item.add_new(keyword, "LO", word)  # any text, which pydicom takes for no number
            elif keyword in item or item is header:
                item.add_new(keyword, "US", [number] * 3 if keyword == "LUTDescriptor" else number)
    header.save_as(out)
    data = out.getvalue()
    for keyword in changes:
        kind, tag = dictionary_VR(keyword), Tag(keyword)
        start = struct.pack("<HH", tag.group, tag.element)
        data = data.replace(start + b"LO", start + kind[:2].encode())
    old = header.file_meta.get("TransferSyntaxUID")
    if syntax and old:
        data = data.replace(*(each.encode().ljust(24, b"\0") for each in (old, syntax)), 1)
    return {"film.dcm": data}

"""DICOM files made by hand: any syntax, any bits, any tag."""

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, FileDataset, dcmwrite, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate

from tests.forms import GRAY

Array = npt.NDArray[Any]
EXPLICIT = uid.ExplicitVRLittleEndian
SECRETS = {
    "PatientName": "Roe^Jane Maria", "PatientID": "MRN-4711", "PatientBirthDate": "19500203",
    "AccessionNumber": "ACC-99", "StudyDate": "20040119", "StudyTime": "072730",
    "StudyInstanceUID": "1.2.3.4.5", "SeriesInstanceUID": "1.2.3.4.6", "StudyID": "S-77",
    "InstitutionName": "Saint Elsewhere", "InstitutionAddress": "1 Main Road",
    "ReferringPhysicianName": "House^Gregory", "OperatorsName": "Op^Erator",
    "StationName": "ROOM-3", "DeviceSerialNumber": "SN-12345", "OtherPatientIDs": "OLD-1",
    "PatientComments": "lives next door", "StudyDescription": "Chest of Mrs Roe",
    "PatientAddress": "2 Side Street", "PatientTelephoneNumbers": "555-1234",
}  # fmt: skip
PLAIN = {
    "Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientSex": "F",
    "PatientAge": "054Y", "Manufacturer": "Acme", "ImageLaterality": "U",
    "PixelSpacing": [0.2, 0.2], "BurnedInAnnotation": "NO",
}  # fmt: skip
ENCODERS = {
    uid.JPEGBaseline8Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, level=98),
    uid.JPEGExtended12Bit: lambda pixels: imagecodecs.jpeg8_encode(
        pixels, level=98, bitspersample=12
    ),
    uid.JPEGLossless: lambda pixels: imagecodecs.jpeg8_encode(
        pixels, lossless=True, predictor=4, bitspersample=8 * pixels.dtype.itemsize
    ),
    uid.JPEGLosslessSV1: lambda pixels: imagecodecs.jpeg8_encode(
        pixels, lossless=True, predictor=1, bitspersample=8 * pixels.dtype.itemsize
    ),
    uid.JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(
        pixels, reversible=True, codecformat="j2k"
    ),
    uid.JPEG2000: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=80, codecformat="j2k"),
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLSNearLossless: lambda pixels: imagecodecs.jpegls_encode(pixels, level=2),
}


def header(pixels: Array = GRAY, bits: int | None = None, **tags: Any) -> Dataset:
    """The tags of one gray film, its pixels native; `tags` are added, or removed where None."""
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2.3.9"
    found.Rows, found.Columns, found.SamplesPerPixel = *pixels.shape[:2], 1
    found.PhotometricInterpretation = "MONOCHROME2"
    found.BitsAllocated = 8 * pixels.dtype.itemsize
    found.BitsStored = bits or found.BitsAllocated
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    found.add_new(
        "PixelData", "OW" if pixels.dtype.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2)
    )
    for keyword, value in {**SECRETS, **PLAIN, **tags}.items():
        if value is not None:
            setattr(found, keyword, value)
        elif keyword in found:
            del found[keyword]
    return found


def written(tags: Dataset, syntax: uid.UID = EXPLICIT, meta: bool = True) -> bytes:
    """A file; of a compressed syntax the native pixels of `tags` are encoded."""
    if syntax in ENCODERS:
        dtype = np.dtype(f"{'ui'[tags.PixelRepresentation]}{tags.BitsAllocated // 8}")
        count = tags.Rows * tags.Columns
        pixels = np.frombuffer(tags.PixelData, dtype, count).reshape(tags.Rows, tags.Columns)
        tags.PixelData = encapsulate([ENCODERS[syntax](pixels)])
        tags["PixelData"].VR, tags["PixelData"].is_undefined_length = "OB", True
    out = io.BytesIO()
    if not meta:
        implicit = syntax == uid.ImplicitVRLittleEndian
        little = syntax != uid.ExplicitVRBigEndian
        dcmwrite(out, tags, implicit_vr=implicit, little_endian=little, force_encoding=True)
        return out.getvalue()
    file = FileDataset("", tags, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    file.file_meta.TransferSyntaxUID = syntax
    if syntax == uid.RLELossless:
        file.file_meta.TransferSyntaxUID = EXPLICIT
        file.compress(syntax, encoding_plugin="pydicom", generate_instance_uid=False)
    if syntax == uid.ExplicitVRBigEndian and tags.BitsAllocated > 8:
        file.PixelData = (
            np.frombuffer(tags.PixelData, f"u{tags.BitsAllocated // 8}").byteswap().tobytes()
        )
    dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def film(pixels: Array = GRAY, bits: int | None = None, **tags: Any) -> bytes:
    """A file of explicit VR, little endian."""
    return written(header(pixels, bits, **tags))


def table(entries: Array, first: int, bits: int, name: str = "") -> Dataset:
    """An item of a modality or VOI LUT sequence."""
    found = Dataset()
    found.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    found.add_new("LUTData", "OW", struct.pack(f"<{len(entries)}H", *entries.tolist()))
    if name:
        found.LUTExplanation = name
    return found

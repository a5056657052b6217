"""What a DICOM header says: what may be written, and what tells who the patient is."""

import math
import re
from collections.abc import Iterator
from functools import partial

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from rayograph.pack.decode.decoded import Value
from rayograph.pack.decode.errors import UnusableError

IDENTIFIERS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
               "AccessionNumber", "StudyDate")  # fmt: skip
OLDEST = 90.0  # years; ages above 89 tell who somebody is, and are one
YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
VIEWS = {
    "PA": "PA", "POSTEROANTERIOR": "PA", "AP": "AP", "ANTEROPOSTERIOR": "AP",
    "LAT": "LL", "LATERAL": "LL", "LL": "LL",
}  # fmt: skip
PROJECTIONS = ("CR", "DX", "RG", "RF", "DR")  # of others a word such as PA may be no view
LYING = re.compile("DECUB")  # lateral, but seen from the front
# PS3.15 annex E: texts of any kind may name somebody, but for these, which say how it was made
PLAIN = frozenset({
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "CodeValue", "CodeMeaning",
    "CodingSchemeDesignator", "CodingSchemeVersion", "WindowCenterWidthExplanation",
    "LUTExplanation", "ModalityLUTType", "RescaleType", "RectificationType", "FilterMaterial",
    "FilterType", "SpatialResolution", "TransducerType", "CodingSchemeName", "MaskingImage",
    "SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName",
    "SecondaryCaptureDeviceSoftwareVersions", "LossyImageCompressionMethod", "PrivateCreator",
    "ImplementationVersionName", "ScannerSettings", "ContrastBolusAgent", "ContrastBolusRoute",
})  # fmt: skip
TEXTS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR"})
ALWAYS = frozenset({"PN", "DA", "TM", "DT", "AE", "UI"})
STANDARD = "1.2.840.10008."  # UIDs of classes, syntaxes and codes, not of anybody's study
LOOSE = re.compile("Description|Protocol|Comments|Reason|Label")  # may say no more than CHEST PA
MOST = 100_000  # elements that are looked at


def identifiers(header: Dataset) -> dict[str, str]:
    """The raw values by keyword, of those that are there."""
    found = {name: str(header.get(name) or "").strip() for name in IDENTIFIERS}
    return {name: value for name, value in found.items() if value}


def metadata(header: Dataset) -> dict[str, Value]:
    """What the header says of the film, safe to be written; None where it says nothing."""
    burnt = {"YES": True, "NO": False}.get(code(header, "BurnedInAnnotation") or "")
    sex = code(header, "PatientSex")
    maker = str(header.get("Manufacturer") or "").strip()[:64]
    return {
        "modality": code(header, "Modality"),
        "body_part": code(header, "BodyPartExamined"),
        "view": _view(header),
        "laterality": code(header, "ImageLaterality") or code(header, "Laterality"),
        "age": _age(str(header.get("PatientAge") or "")),
        "sex": sex if sex in ("M", "F", "O") else None,
        "manufacturer": maker or None,
        "pixel_spacing_mm": next(iter(spacing(header)), None),
        "burnt_in": burnt,
    }


def code(header: Dataset, keyword: str) -> str | None:
    """The first value of a code string; None of free text where a code should be."""
    value = header.get(keyword)
    first = value[0] if isinstance(value, MultiValue) and value else value
    text = str(first or "").strip().upper()
    return text if CODE.fullmatch(text) else None


def numbers(header: Dataset, keyword: str) -> list[float]:
    """The values of a tag as floats, NaN where one is no number; none if there is no such tag."""
    try:
        value = header.get(keyword)
    except ValueError:  # pydicom's, of texts that are no numbers
        return [math.nan]
    if value is None:
        return []
    found = []
    for each in value if isinstance(value, MultiValue | list) else [value]:
        try:
            found.append(float(each))
        except (TypeError, ValueError):
            found.append(math.nan)
    return found


def spacing(header: Dataset) -> list[float]:
    """Between rows and between columns in mm; none where it is not said."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        found = numbers(header, keyword)
        if len(found) == 2 and all(math.isfinite(each) and each > 0 for each in found):
            return found
    return []


def private(header: Dataset, public: dict[str, Value]) -> tuple[str, ...]:
    """Every text of tags that may name or trace somebody, each once; `public` is what is written.

    A description that says no more than what is public, such as CHEST, is left out.
    """
    known = {str(value).upper() for value in public.values() if isinstance(value, str)}
    found = dict[str, None]()
    for element in _elements(header):
        loose = element.tag.is_private or bool(LOOSE.search(element.keyword))
        for text in _texts(element):
            if not loose or (len(text) >= 4 and text.upper() not in known):
                found[text] = None
    return tuple(found)


def cleared(public: dict[str, Value], texts: tuple[str, ...]) -> dict[str, Value]:
    """What is public without the words that are not ours, where they hold one of these texts.

    Some put the hospital's name where the manufacturer's belongs.
    """
    found = dict(public)
    for key in ("manufacturer", "window"):
        said = str(found[key] or "").upper()
        if any(len(text) > 3 and text.upper() in said for text in texts):
            found[key] = None
    return found


def _elements(header: Dataset) -> Iterator[DataElement]:
    meta = getattr(header, "file_meta", None)
    waiting, seen = [header] if meta is None else [header, meta], 0
    while waiting:
        tags = waiting.pop()
        seen += len(tags)
        if seen > MOST:
            raise UnusableError(f"more than {MOST} elements in the header")
        for element in map(partial(_element, tags), tags.keys()):
            if element.VR == "SQ":
                waiting.extend(element.value or ())
            elif element.tag.group != 0x7FE0 and element.keyword not in PLAIN:
                yield element


def _element(tags: Dataset, tag: BaseTag) -> DataElement:
    """An element, as it lies in the file where pydicom finds that it is not what it should be."""
    try:
        return tags[tag]
    except Exception:
        raw = tags.get_item(tag)
        return DataElement(tag, "UN", raw.value if raw else None)


def _texts(element: DataElement) -> Iterator[str]:
    kind, value = element.VR, element.value
    if kind == "UN" and isinstance(value, bytes):
        text = value[:1024].decode(errors="replace").strip(" \0")
        if text.isprintable():
            yield from (part.strip() for part in text.split("\\") if part.strip())
    if kind not in ALWAYS and kind not in TEXTS:
        return
    for each in value if isinstance(value, MultiValue | list) else [value]:
        text = str(each or "").strip(" \0")
        if not text or (kind == "UI" and text.startswith(STANDARD)):
            continue
        yield text
        if kind == "PN":
            parts = [part.strip() for part in re.split(r"[\^=,]", text)]
            parts += [word for part in parts if " " in part for word in part.split()]
            yield from (part for part in parts if len(part) > 1 and part != text)


def _age(text: str) -> float | None:
    match = re.fullmatch(r"(\d{1,3})([YMWD])", text.strip().upper())
    if match is None:
        return None
    years = round(int(match[1]) * YEARS[match[2]], 2)
    return min(years, OLDEST) if years < OLDEST else OLDEST


def _view(header: Dataset) -> str | None:
    said = code(header, "ViewPosition")
    if said:
        return VIEWS.get(said, said)
    if code(header, "Modality") not in PROJECTIONS:
        return None
    meanings = [str(item.get("CodeMeaning") or "") for item in header.get("ViewCodeSequence") or ()]
    for text in (*meanings, header.get("SeriesDescription"), header.get("ProtocolName")):
        upper = str(text or "").upper().replace("POSTERO-ANTERIOR", "PA")
        upper = upper.replace("ANTERO-POSTERIOR", "AP")
        views = {VIEWS[word] for word in re.findall("[A-Z]+", upper) if word in VIEWS}
        if len(views) == 1 and not LYING.search(upper):
            return views.pop()
    return None

"""Contract 3 of DICOM: what is made of each form of it, and what its header gives away."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageOps
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from rayograph.config import PackConfig, PackOptions
from rayograph.data.recipe import ImageRecipe
from rayograph.errors import UserError
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.sources.base import film_recipe
from tests import dicoms
from tests.conftest import SHARED, needs_real_films
from tests.dicoms import film, header, table, written
from tests.forms import COLOUR, GRAY, SIXTEEN, TWELVE, saved

RECIPE = ImageRecipe(size=64, resize="crop")
FULL = RECIPE.model_copy(update={"window": "full"})
PLAIN = decode(saved(GRAY), RECIPE).values.astype(int)
SIGNED = TWELVE.astype(np.int16) - 2048
DATA = pytest.importorskip("data_store", reason="pydicom-data is not installed")
SHIPPED = sorted(
    path
    for folder in (Path(pydicom.__file__).parent / "data" / "test_files", *map(Path, DATA.__path__))
    for path in folder.rglob("*")
    if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
)


def packed(original: bytes, recipe: ImageRecipe = RECIPE) -> np.ndarray[Any, Any]:
    return decode(original, recipe).values.astype(int)


def near(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any] = PLAIN, most: int = 3) -> bool:
    return int(np.abs(found - wanted).max()) <= most


def correlation(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def shared(name: str) -> bytes:
    return (SHARED / "dicom" / name).read_bytes()


# Files of others


def by_pydicom(path: Path) -> np.ndarray[Any, Any]:
    """A gray film [64, 64] by pydicom's own functions."""
    tags = pydicom.dcmread(path, force=True)
    stored = tags.pixel_array
    values = apply_voi_lut(apply_modality_lut(stored, tags), tags).astype(np.float32)
    low, high = values.min(), values.max()
    if (tags.PhotometricInterpretation == "MONOCHROME1") or (
        tags.get("PresentationLUTShape") == "INVERSE"
    ):
        values = high + low - values
    if "PixelPaddingValue" in tags:
        ends = sorted(
            (tags.PixelPaddingValue, tags.get("PixelPaddingRangeLimit", tags.PixelPaddingValue))
        )
        values[(stored >= ends[0]) & (stored <= ends[1])] = low
    image = Image.fromarray(np.rint((values - low) / (high - low) * 255).astype(np.uint8))
    down, across = tags.get("ImagerPixelSpacing") or tags.get("PixelSpacing") or (1, 1)
    if across and abs(down / across - 1) > 0.01:
        width, height = image.width * max(1, across / down), image.height * max(1, down / across)
        image = image.resize((round(width), round(height)), Image.Resampling.LANCZOS)
    return np.array(ImageOps.fit(image, (64, 64), Image.Resampling.LANCZOS)).astype(int)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_each_file_of_pydicom_is_as_pydicom_shows_it_or_refused(path: Path) -> None:
    try:
        found = decode(path.read_bytes(), RECIPE)
    except UnusableError as error:
        reason = str(error)
    else:
        reason = ""
    if reason:
        assert 10 < len(reason) < 320
        assert "Error" not in reason
        return
    assert found.values.min() < found.values.max()
    if str(found.metadata["mode"]).startswith("MONOCHROME"):
        assert correlation(found.values, by_pydicom(path)) > 0.99
    texts = [str(value) for value in found.metadata.values() if isinstance(value, str)]
    assert not [text for text in found.private if len(text) > 3 and text in texts]


def test_most_files_of_pydicom_are_read() -> None:
    read = 0
    for path in SHIPPED:
        try:
            decode(path.read_bytes(), RECIPE)
            read += 1
        except UnusableError:
            continue
    assert read > 120


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RG3_UNCR.dcm", "RG3_J2KR.dcm"),
        ("693_UNCR.dcm", "693_J2KR.dcm"),
        ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("SC_rgb.dcm", "SC_rgb_jpeg_gdcm.dcm"),
        ("SC_rgb.dcm", "SC_rgb_rle.dcm"),
    ],
)
def test_what_is_compressed_without_loss_gives_the_same_film(one: str, other: str) -> None:
    places = {path.name: path for path in SHIPPED}
    films = [packed(places[name].read_bytes()) for name in (one, other)]
    assert (films[0] == films[1]).all()


@needs_real_films
@pytest.mark.parametrize("name", ["gdcm-CR-MONO1-10-chest.dcm", "RG1_J2KI.dcm"])
def test_a_monochrome1_film_is_as_its_picture(name: str) -> None:
    tags = pydicom.dcmread(SHARED / "dicom" / name)
    values = apply_voi_lut(apply_modality_lut(tags.pixel_array, tags), tags).astype(float)
    picture = 255 - (values - values.min()) / (values.max() - values.min()) * 255
    assert correlation(packed(shared(name)), packed(saved(picture.astype(np.uint8)))) > 0.98


@needs_real_films
def test_the_same_pixels_as_monochrome1_are_inverted() -> None:
    twin = "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm"
    assert near(packed(shared("Fake_MONOHR1.dcm")), 255 - packed(shared(twin)), 2)


# Syntaxes


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLossless,
        uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEG2000,
        uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless,
    ],
    ids=lambda syntax: syntax.name,
)  # fmt: skip
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_each_transfer_syntax_gives_the_film(syntax: uid.UID, bits: int) -> None:
    if (syntax == uid.JPEGBaseline8Bit and bits > 8) or (
        syntax == uid.JPEGExtended12Bit and bits != 12
    ):
        pytest.skip("the syntax has no such bits")
    pixels = {8: GRAY, 12: TWELVE, 16: SIXTEEN}[bits]
    found = decode(written(header(pixels, bits), syntax), RECIPE)
    assert near(found.values.astype(int), most=6)
    assert found.metadata["transfer_syntax"] == syntax.name


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
def test_a_file_without_meta_header_is_read(syntax: uid.UID) -> None:
    assert near(packed(written(header(), syntax, meta=False)))


@pytest.mark.parametrize(
    "syntax", [uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLossless]
)
def test_compressed_pixels_without_meta_header_are_known_by_their_first_bytes(
    syntax: uid.UID,
) -> None:
    found = decode(written(header(), syntax, meta=False), RECIPE)
    assert near(found.values.astype(int), most=6)


def test_a_file_without_preamble_is_read() -> None:
    assert near(packed(film()[132:]))


def test_pixel_data_that_are_too_long_are_read() -> None:
    tags = header()
    tags.PixelData += b"\7" * 500
    assert near(packed(written(tags)))


def test_colour_and_palettes_become_gray() -> None:
    tags = header(COLOUR, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    assert near(packed(written(tags)), packed(saved(COLOUR)), 1)
    tags = header(PhotometricInterpretation="PALETTE COLOR")
    ramp = (np.arange(256) * 257).astype("<u2").tobytes()
    for name in ("Red", "Green", "Blue"):
        setattr(tags, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(tags, f"{name}PaletteColorLookupTableData", ramp)
    assert near(packed(written(tags)))


# Stored values


@pytest.mark.parametrize("high", [11, 13, 15])
def test_the_bits_stored_are_taken_from_where_they_are(high: int) -> None:
    shifted = TWELVE << np.uint16(high - 11)
    assert near(packed(film(shifted, 12, HighBit=high)))


@pytest.mark.parametrize("syntax", [dicoms.EXPLICIT, uid.RLELossless])
def test_overlays_in_unused_bits_do_not_disturb(syntax: uid.UID) -> None:
    overlay = np.random.default_rng(0).integers(0, 16, TWELVE.shape).astype(np.uint16) << 12
    assert near(packed(written(header(TWELVE | overlay, 12), syntax)))


@pytest.mark.parametrize("syntax", [dicoms.EXPLICIT, uid.RLELossless, uid.JPEG2000Lossless])
def test_signed_pixels_keep_their_order(syntax: uid.UID) -> None:
    assert near(packed(written(header(SIGNED, 16), syntax)))
    unfilled = (SIGNED.astype(np.uint16) & 4095).astype(np.int16)  # the sign is in bit 11
    assert near(packed(film(unfilled, 12)))


@pytest.mark.parametrize("limit", [None, 3100])
def test_padding_is_black_and_out_of_the_range(limit: int | None) -> None:
    pixels = GRAY.astype(np.uint16)
    pixels[:20], pixels[20:40] = 3000, 3000 if limit is None else 3100
    tags = header(pixels, 12, PixelPaddingValue=3000, PhotometricInterpretation="MONOCHROME1")
    if limit:
        tags.PixelPaddingRangeLimit = limit
    wanted = 255 - GRAY
    wanted[:40] = 0
    rest = GRAY[40:]
    spread = np.clip((255.0 - rest - (255 - rest.max())) / (rest.max() - rest.min()), 0, 1)
    wanted[40:] = np.rint(spread * 255)
    assert near(packed(written(tags)), packed(saved(wanted)), 2)


def test_signed_padding_may_be_written_as_unsigned() -> None:
    pixels = SIGNED.copy()
    pixels[:40] = -2000
    tags = header(pixels, 16)
    tags.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    assert packed(written(tags))[:28].max() < 40


# Gray levels


def test_rescale_and_a_negative_slope() -> None:
    rescaled = film(
        TWELVE, 12, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=3071.5, WindowWidth=8191
    )
    assert near(packed(rescaled))
    assert near(packed(film(TWELVE, 12, RescaleSlope=-1, RescaleIntercept=4095)), 255 - PLAIN)
    windowed = film(
        TWELVE, 12, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=4096
    )
    assert near(packed(windowed), 255 - PLAIN)


def test_a_modality_lut_comes_before_the_window() -> None:
    entries = 4095 - np.arange(4096)
    tags = header(TWELVE, 12, WindowCenter=2048, WindowWidth=4096)
    tags.ModalityLUTSequence = [table(entries, 0, 16)]
    assert near(packed(written(tags)), 255 - PLAIN)


def test_a_voi_lut_goes_before_a_window() -> None:
    tags = header(TWELVE, 12, WindowCenter=100, WindowWidth=50)
    tags.VOILUTSequence = [
        table(np.arange(4096)[::-1], 0, 12, "upside down"),
        table(np.arange(4096), 0, 12, "plain"),
    ]
    assert near(packed(written(tags)), 255 - PLAIN)
    named = RECIPE.model_copy(update={"window": "Plain"})
    assert near(packed(written(tags), named))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_functions_of_windows_are_those_of_the_standard(function: str) -> None:
    centre, width = 1500.0, 1000.0
    values = TWELVE.astype(float)
    wanted = {
        "LINEAR": (values - (centre - 0.5)) / (width - 1) + 0.5,
        "LINEAR_EXACT": (values - centre) / width + 0.5,
        "SIGMOID": 1 / (1 + np.exp(-4 * (values - centre) / width)),
    }[function]
    picture = np.rint(wanted.clip(0, 1) * 255).astype(np.uint8)
    found = film(TWELVE, 12, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)
    assert near(packed(found), packed(saved(picture)), 1)


def test_a_window_is_taken_by_its_name_or_not_at_all() -> None:
    tags = {
        "WindowCenter": [1000, 2048], "WindowWidth": [200, 4096],
        "WindowCenterWidthExplanation": ["HARD", "Soft Tissue"],
    }  # fmt: skip
    soft = RECIPE.model_copy(update={"window": "softtissue"})
    found = decode(film(TWELVE, 12, **tags), soft)
    assert near(found.values.astype(int))
    assert found.metadata["window"] == "Soft Tissue"
    assert decode(film(TWELVE, 12, **tags), RECIPE).metadata["window"] == "HARD"
    assert near(packed(film(TWELVE, 12, **tags), FULL))
    with pytest.raises(UnusableError, match="'bone'; there are: HARD, Soft Tissue"):
        decode(film(TWELVE, 12, **tags), RECIPE.model_copy(update={"window": "bone"}))


@pytest.mark.parametrize(("centre", "width"), [("100", "0"), ("100", "-5"), (None, "100")])
def test_a_window_that_is_none_is_passed_over(centre: str | None, width: str) -> None:
    assert near(packed(film(TWELVE, 12, WindowCenter=centre, WindowWidth=width)))


def test_a_window_that_leaves_nothing_is_refused_with_the_cure() -> None:
    nothing = film(TWELVE, 12, WindowCenter=9000, WindowWidth=10)
    with pytest.raises(UnusableError, match=r"9000/10 leaves 100\.0%.*low end; pack\.window=full"):
        decode(nothing, RECIPE)
    assert near(packed(nothing, FULL))


@pytest.mark.parametrize(
    ("kind", "shape", "inverted"),
    [
        ("MONOCHROME1", None, True), ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True), ("MONOCHROME2", "IDENTITY", False),
    ],
)  # fmt: skip
def test_polarity(kind: str, shape: str | None, inverted: bool) -> None:
    found = packed(film(PhotometricInterpretation=kind, PresentationLUTShape=shape))
    assert near(found, 255 - PLAIN if inverted else PLAIN)


@pytest.mark.parametrize("tag", ["PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"])
def test_pixels_that_are_not_square_are_made_so(tag: str) -> None:
    high = np.repeat(GRAY, 2, axis=0)
    sides = [1, 2] if tag == "PixelAspectRatio" else [0.1, 0.2]
    tags = {"PixelSpacing": None, tag: sides}
    assert near(packed(film(high, **tags)), most=12)
    assert correlation(packed(film(high, **tags)), PLAIN) > 0.998


def test_a_stated_range() -> None:
    stated = RECIPE.model_copy(update={"range": (-2048.0, 2047.0)})
    assert near(packed(film(SIGNED, 16), stated))
    assert near(packed(saved(SIGNED.astype(np.float32), "TIFF"), stated))
    assert near(packed(saved(SIXTEEN), RECIPE.model_copy(update={"range": (0.0, 65535.0)})))
    dark = packed(saved(TWELVE), RECIPE.model_copy(update={"range": (0.0, 65535.0)}))
    assert dark.max() <= 16
    assert near(packed(saved(GRAY), RECIPE.model_copy(update={"range": (0.0, 1000.0)})), PLAIN, 0)


def test_a_recipe_of_neither_is_dumped_as_before() -> None:
    assert film_recipe(PackOptions(size=64)).model_dump() == {
        "kind": "image", "size": 64, "resize": "crop", "orientation": "exif", "gray": "bt601",
        "range": "bits in use", "resample": "lanczos",
    }  # fmt: skip
    stated = film_recipe(PackOptions(size=64, range=(0.0, 4095.0), window="HARD"))
    assert ImageRecipe.model_validate_json(stated.model_dump_json()) == stated
    with pytest.raises(UserError, match=r"range.*must be below"):
        PackConfig.load(None, ["pack.range=[5, 5]"])


# What is refused


def _short() -> bytes:
    tags = header()
    tags.PixelData = tags.PixelData[:4000]
    return written(tags)


def _cut(syntax: uid.UID) -> bytes:
    tags = header()
    data = dicoms.ENCODERS[syntax](GRAY)
    tags.PixelData = encapsulate([data[: len(data) * 2 // 3]])
    tags["PixelData"].is_undefined_length = True
    meta = written(header(), syntax)
    file = pydicom.dcmread(pydicom.filebase.DicomBytesIO(meta))
    file.PixelData = tags.PixelData
    out = pydicom.filebase.DicomBytesIO()
    file.save_as(out)
    return out.getvalue()


def _unknown() -> bytes:
    whole = film()
    return whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: film(NumberOfFrames=2, PixelData=GRAY.tobytes() * 2), "2 frames in one file"),
        (lambda: film(PixelData=None), r"no pixel data \(Digital X-Ray"),
        (lambda: film(PixelData=b""), "without a byte"),
        (_short, "truncated pixel data: 4000 bytes of 8383"),
        (lambda: film()[:-1000], "truncated|damaged"),
        (lambda: _cut(uid.JPEGBaseline8Bit), "truncated"),
        (lambda: _cut(uid.JPEGLossless), "truncated"),
        (lambda: _cut(uid.JPEGLSLossless), "truncated"),
        (lambda: _cut(uid.JPEG2000Lossless), "Jpeg2k|decode"),
        (_unknown, "transfer syntax 1.2.840.10008.1.2.9"),
        (lambda: film(Rows=30_000, Columns=30_000), "30000x30000 pixels, more than"),
        (lambda: film(np.full_like(GRAY, 9)), "one flat gray"),
        (lambda: film(PixelPaddingValue=9, PixelData=bytes([9]) * 8384), "nothing but padding"),
        (lambda: film(PhotometricInterpretation=None), "is 0 black or white"),
        (lambda: film(PhotometricInterpretation="HSV"), "HSV of 1 samples"),
        (lambda: film(BitsAllocated=12), "12 bits allocated"),
        (lambda: film()[:300], "no pixel data"),
        (lambda: b"", "zero bytes"),
    ],
)  # fmt: skip
def test_what_is_no_usable_film_is_refused_with_the_reason(
    make: Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(UnusableError, match=reason):
        decode(make(), RECIPE)


def test_free_text_that_explains_a_window_is_in_no_reason() -> None:
    tags = header(WindowCenter=[9, 9], WindowWidth=[9, 9])
    tags.WindowCenterWidthExplanation = ["as Dr. House likes it", "HARD"]
    with pytest.raises(UnusableError) as told:
        decode(written(tags), RECIPE.model_copy(update={"window": "bone"}))
    assert str(told.value) == "no window is named 'bone'; there are: HARD"


# What the header says


def test_what_may_be_written_and_what_may_not() -> None:
    found = decode(film(SeriesDescription="Chest"), RECIPE)
    assert found.metadata == {
        "width": 101, "height": 83, "format": "DICOM", "mode": "MONOCHROME2 8/8",
        "modality": "DX", "body_part": "CHEST", "view": "PA", "laterality": "U", "age": 54.0,
        "sex": "F", "manufacturer": "Acme", "pixel_spacing_mm": 0.2,
        "transfer_syntax": "Explicit VR Little Endian", "window": None, "burnt_in": False,
        "inverted": False,
    }  # fmt: skip
    names = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "StudyDate")
    wanted = {name: dicoms.SECRETS[name] for name in names} | {"SOPInstanceUID": "1.2.3.9"}
    assert found.identifiers == wanted
    assert set(dicoms.SECRETS.values()) <= set(found.private)
    assert {"Roe", "Jane Maria", "Jane", "Maria", "House"} <= set(found.private)
    written_ = repr(found.metadata)
    assert not [secret for secret in found.private if secret in written_]


def test_a_manufacturer_who_is_the_hospital_is_not_written() -> None:
    found = decode(film(Manufacturer="Saint Elsewhere Radiology"), RECIPE)
    assert found.metadata["manufacturer"] is None


def test_what_is_nested_or_private_is_found_too() -> None:
    tags, item, deeper = header(), Dataset(), Dataset()
    deeper.PersonName = "Deep^Throat"
    item.RequestingPhysician, item.PersonIdentificationCodeSequence = "Who^Asks", [deeper]
    tags.RequestAttributesSequence = [item]
    tags.private_block(0x0099, "ACME", create=True).add_new(1, "LO", "Mrs Roe again")
    found = decode(written(tags), RECIPE)
    assert {"Deep", "Throat", "Who^Asks", "Mrs Roe again"} <= set(found.private)


@pytest.mark.parametrize(
    ("text", "years"),
    [("035Y", 35.0), ("018M", 1.5), ("095Y", 90.0), ("089Y", 89.0), ("Y", None), ("old", None)],
)
def test_ages(text: str, years: float | None) -> None:
    assert decode(film(PatientAge=text), RECIPE).metadata["age"] == years


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({"ViewPosition": "LATERAL"}, "LL"), ({"SeriesDescription": "CHEST PA"}, "PA"),
        ({"SeriesDescription": "chest lat"}, "LL"), ({"SeriesDescription": "PA and LAT"}, None),
        ({"ProtocolName": "Thorax AP"}, "AP"), ({"SeriesDescription": "Mr Paap"}, None),
        ({"SeriesDescription": "lateral decubitus"}, None),
        ({"SeriesDescription": "PA", "Modality": "CT"}, None),
    ],
)  # fmt: skip
def test_views_are_by_known_words_alone(tags: dict[str, str], view: str | None) -> None:
    assert decode(film(**{"ViewPosition": None, **tags}), RECIPE).metadata["view"] == view


def test_free_text_in_the_place_of_a_code_is_not_written() -> None:
    found = decode(film(BodyPartExamined="chest of Mrs. Roe (54)", PatientSex="female"), RECIPE)
    assert found.metadata["body_part"] is None
    assert found.metadata["sex"] is None
    assert math.isclose(float(found.metadata["pixel_spacing_mm"] or 0), 0.2)


def test_pydicom_is_not_loaded_for_pictures() -> None:
    code = (
        "import sys, rayograph.pack.packing, rayograph.console.app;"
        "sys.exit('pydicom' in sys.modules or 'imagecodecs' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

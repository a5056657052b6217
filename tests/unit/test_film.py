"""Contract 3: what any original becomes, and which ones are refused with what reason."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from rayograph.data.recipe import ImageRecipe
from rayograph.pack import phantom
from rayograph.pack.decode import pictures
from tests.conftest import SHARED, needs_real_films

RECIPE = ImageRecipe(size=64, resize="crop")
GRAY = phantom.film(3, opacity=True, size=96)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_transparent_pixels_are_black_whatever_colour_they_hide() -> None:
    image = Image.fromarray(GRAY).convert("RGBA")
    hidden = Image.new("RGBA", (40, 96), (255, 255, 255, 0))
    image.paste(hidden, (0, 0))
    assert pictures.decode(encoded(image), RECIPE).values[:, :20].max() <= 8


def test_fit_pads_and_crop_keeps_the_centre() -> None:
    wide = Image.new("L", (200, 100), 100)
    wide.paste(200, (50, 0, 150, 100))
    cropped = pictures.decode(encoded(wide.point(lambda v: v)), RECIPE.model_copy()).values[:, 4:-4]
    assert (cropped > 190).all()
    fitted = pictures.decode(encoded(wide), ImageRecipe(size=64, resize="fit")).values
    assert fitted[:15].max() == 0
    assert fitted[20:44].min() > 80


@pytest.mark.parametrize(
    ("original", "reason"),
    [
        (b"", "zero bytes"),
        (b"not a film", "not a film in"),
        (encoded(Image.fromarray(GRAY))[:2000], "truncated"),
        (encoded(Image.fromarray(GRAY), "JPEG")[:900], "truncated"),
        (encoded(Image.new("L", (80, 80), 7)), "one flat gray"),
        (
            encoded(
                Image.fromarray(GRAY), "TIFF", save_all=True, append_images=[Image.fromarray(GRAY)]
            ),
            "2 frames",
        ),
    ],
)
def test_what_is_no_usable_film_is_refused_with_the_reason(original: bytes, reason: str) -> None:
    with pytest.raises(pictures.UnusableError, match=reason):
        pictures.decode(original, RECIPE)


def test_damaged_bytes_are_a_reason_and_never_a_crash() -> None:
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP"):
        whole = encoded(Image.fromarray(GRAY), kind)
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 400), 6):
                damaged[place] ^= int(rng.integers(1, 256))
            with contextlib.suppress(pictures.UnusableError):
                assert pictures.decode(bytes(damaged), RECIPE).values.shape == (64, 64)


@needs_real_films
def test_real_nasty_files_give_a_film_or_a_reason() -> None:
    good, bad = {}, {}
    for path in sorted((SHARED / "nasty").iterdir()):
        if path.suffix == ".csv":
            continue
        try:
            good[path.name] = pictures.decode(path.read_bytes(), RECIPE).values
        except pictures.UnusableError as error:
            bad[path.name] = str(error)
    assert set(bad) == {
        "COVID19(0).jpg", "broken.png", "empty.png", "jpeg_truncated.jpeg", "nih_multiframe.tif",
        "nih_truncated.png", "text.jpg", "truncated_image.png", "truncated_jpeg.jpg",
    }  # fmt: skip
    assert all(picture.std() > 10 for picture in good.values())
    same = [good[name].astype(int) for name in ("nih_la.png", "nih_16bit.png", "nih_upper.PNG")]
    assert max(np.abs(picture - same[0]).mean() for picture in same) < 1

"""Signs of odd films: negatives, letters, colour; on drawn films, and on real ones."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from rayograph.data.recipe import ImageRecipe
from rayograph.pack import phantom
from rayograph.pack.decode import pictures, signs
from tests.conftest import SHARED, needs_real_films

RECIPE = ImageRecipe(size=64, resize="crop")


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def written(text: str, size: int, film: np.ndarray) -> np.ndarray:
    image = Image.fromarray(film)
    place = (film.shape[1] // 20, film.shape[0] // 20)
    ImageDraw.Draw(image).text(place, text, fill=255, font=ImageFont.load_default(size))
    return np.asarray(image)


@pytest.mark.parametrize("size", [64, 256, 1000])
def test_a_negative_looks_inverted_and_a_film_does_not(size: int) -> None:
    for seed in range(6):
        film = phantom.film(seed, opacity=seed % 2 > 0, size=size)
        assert not signs.looks_inverted(film)
        assert signs.looks_inverted(255 - film)
        assert signs.looks_inverted(255 - film[: size * 3 // 4])


def test_a_line_of_letters_is_text_and_a_marker_of_the_side_is_not() -> None:
    film = (phantom.film(1, opacity=False, size=1024) * 0.8).astype(np.uint8)
    assert not signs.has_text(film)
    for marker in ("L", "R", "AP"):
        assert not signs.has_text(written(marker, 60, film))
    for size in (20, 32, 56):
        assert signs.has_text(written("PORTABLE", size, film))
        assert signs.has_text(written("12.03.1961", size, film[:700]))


def test_colour_is_told_and_jpeg_noise_is_not() -> None:
    gray = Image.fromarray(phantom.film(1, opacity=False, size=256)).convert("RGB")
    jpeg = io.BytesIO()
    gray.save(jpeg, "JPEG", quality=30)
    arrow = gray.copy()
    ImageDraw.Draw(arrow).rectangle((0, 0, 63, 63), fill=(255, 200, 0))
    assert signs.coloured(np.asarray(Image.open(jpeg))) == 0
    assert signs.coloured(np.asarray(arrow)) == pytest.approx(1 / 16, rel=0.1)


def test_the_signs_are_told_of_every_form_of_a_picture() -> None:
    gray = Image.fromarray(phantom.film(2, opacity=False, size=256))
    orange = gray.convert("RGB")
    orange.paste((255, 140, 0), (0, 0, 128, 256))
    for image, share in (
        (gray, None), (gray.convert("LA"), None), (gray.convert("RGB"), 0.0), (orange, 0.5),
        (orange.convert("RGBA"), 0.5), (orange.quantize(64), 0.5),
    ):  # fmt: skip
        told = pictures.decode(png(image), RECIPE).metadata["coloured"]
        assert told == (None if share is None else pytest.approx(share, abs=0.01))
    wide = Image.new("L", (400, 256), 255)
    wide.paste(Image.fromarray(255 - np.asarray(gray)), (72, 0))
    for resize in ("crop", "fit"):
        recipe = ImageRecipe(size=64, resize=resize)
        assert pictures.decode(png(wide), recipe).metadata["inverted"] is True
        assert pictures.decode(png(gray), recipe).metadata["inverted"] is False


@needs_real_films
def test_no_real_film_looks_inverted_and_all_their_negatives_do() -> None:
    paths = [*SHARED.glob("pneumonia/*/*/*1.jpeg")][::8]
    paths += SHARED.glob("nih14/images/*0.png")
    films = [np.asarray(Image.open(path).convert("L")) for path in paths]
    assert len(films) > 100
    assert not any(signs.looks_inverted(film) for film in films)
    assert all(signs.looks_inverted(255 - film) for film in films)

"""`pack.resize=stretch`: the whole film as a square, whatever its aspect ratio is."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rayograph.config import PackOptions
from rayograph.data.recipe import ImageRecipe, difference
from rayograph.pack import phantom
from rayograph.pack.decode import decode

SIZE = 48
STRETCH = ImageRecipe(size=SIZE, resize="stretch")
sides = st.integers(20, 300)


def film(picture: Image.Image, recipe: ImageRecipe = STRETCH) -> np.ndarray:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return decode(out.getvalue(), recipe).values


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.integers(0, 1))
def test_a_part_of_the_film_keeps_its_place_as_a_part_of_the_side(
    width: int, height: int, axis: int
) -> None:
    light = np.zeros((height, width), np.uint8)
    half = np.moveaxis(light, axis, 0)
    half[len(half) // 2 :] = 200
    found = np.moveaxis(film(Image.fromarray(light)), axis, 0)
    assert found.shape == (SIZE, SIZE)
    edge = SIZE * (len(half) // 2) / len(half)  # Lanczos reaches three (output or input) pixels
    reach = 3 * max(1, SIZE / len(half)) + 1
    assert found[: int(edge - reach)].max(initial=0) <= 2
    assert found[int(edge + reach) + 1 :].min(initial=200) >= 198


@settings(deadline=None, max_examples=20)
@given(st.integers(20, 300))
def test_a_square_film_is_as_with_crop_and_fit(side: int) -> None:
    picture = Image.fromarray(phantom.film(5, opacity=True, size=64)).resize((side, side))
    for other in ("crop", "fit"):
        assert (film(picture) == film(picture, ImageRecipe(size=SIZE, resize=other))).all()


def test_no_edge_is_cut_and_none_is_padded() -> None:
    wide = Image.new("L", (300, 100), 90)
    wide.paste(220, (0, 0, 30, 100))
    wide.paste(220, (270, 0, 300, 100))
    found = film(wide)
    assert (found[:, :3] > 200).all()
    assert (found[:, -3:] > 200).all()
    assert (found[:, 10:-10] == 90).all()


def test_the_option_is_the_recipes_and_another_recipe_is_named() -> None:
    assert PackOptions(resize="stretch").resize == STRETCH.resize
    told = difference(STRETCH, ImageRecipe(size=SIZE, resize="crop"))
    assert told == "resize: stretch, not crop"
    with pytest.raises(ValueError, match="resize"):
        PackOptions(resize="squash")

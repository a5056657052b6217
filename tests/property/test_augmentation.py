"""What random crops, tone curves and each film's own standardisation do to films."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayograph.config import AugmentOptions
from rayograph.data import transforms
from rayograph.data.recipe import ImageTransform
from rayograph.data.transforms.films import FilmTransform, _crop
from rayograph.pack import phantom

SPEC = ImageTransform(size=32, mean=0.5, std=0.25)
STILL = {"rotation": 0, "brightness": 0, "contrast": 0}
FILMS = torch.from_numpy(np.stack([phantom.film(i, opacity=i % 2 == 1, size=64) for i in range(8)]))
areas = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: tuple(sorted(pair)))
aspects = st.tuples(st.floats(0.25, 1), st.floats(1, 4))


@given(areas, aspects, st.integers(0, 2**31))
def test_a_crop_has_its_area_lies_inside_and_keeps_its_aspect(
    area: tuple[float, float], aspect: tuple[float, float], seed: int
) -> None:
    draws = torch.rand(64, 9, generator=torch.Generator().manual_seed(seed))
    width, height = _crop(area, aspect, draws)
    assert (torch.cat([width, height]) <= 1).all()
    part = area[0] + (area[1] - area[0]) * draws[:, 0]
    assert torch.allclose(width * height, part, rtol=1e-4)
    ratio = width / height
    assert (ratio >= aspect[0] * 0.999).all()
    assert (ratio <= aspect[1] * 1.001).all()


def test_the_whole_area_is_the_whole_film() -> None:
    options = AugmentOptions(area=(1, 1), **STILL)
    transform = FilmTransform(SPEC, options)
    draws = torch.rand(8, transform.draws)
    (seen,) = transform.views(FILMS)
    assert torch.allclose(transform.train(FILMS, draws), seen, atol=1e-4)


def test_crops_reach_every_edge_of_the_film_and_nothing_beyond() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).mul(4).expand(400, 64, 64)
    transform = FilmTransform(SPEC, AugmentOptions(area=(0.35, 0.6), **STILL))
    draws = torch.rand(400, transform.draws, generator=torch.Generator().manual_seed(0))
    levels = (transform.train(ramp, draws) * SPEC.std + SPEC.mean) * 255
    left, right = levels[:, 0, 16, 0], levels[:, 0, 16, -1]
    assert left.min() < 6
    assert right.max() > 246
    assert (right > left).all()  # none is padded with black


@settings(max_examples=25)
@given(st.floats(1, 4), st.integers(0, 2**31))
def test_a_tone_curve_keeps_black_white_and_the_order_of_grays(gamma: float, seed: int) -> None:
    ramp = torch.arange(32, dtype=torch.float32).mul(255 / 31).round().to(torch.uint8)
    films = ramp.expand(8, 32, 32)
    options = AugmentOptions(scale=(1, 1), shift=0, gamma=gamma, **STILL)
    transform = FilmTransform(SPEC, options)
    draws = torch.rand(8, transform.draws, generator=torch.Generator().manual_seed(seed))
    levels = transform.train(films, draws) * SPEC.std + SPEC.mean
    assert torch.allclose(levels[..., 0], torch.zeros(()), atol=1e-3)
    assert torch.allclose(levels[..., -1], torch.ones(()), atol=1e-3)
    assert (levels.diff(dim=-1) > -1e-5).all()
    if gamma > 1:
        tried = math.log(gamma) * (2 * draws[:, 8] - 1)
        found = levels[:, 0, 16, 15].log() / math.log(15 / 31)
        assert torch.allclose(found.log(), tried, atol=0.05)


@settings(max_examples=25)
@given(st.floats(0.3, 1), st.floats(0, 0.4))
def test_films_standardised_by_themselves_do_not_tell_how_bright_they_were_made(
    contrast: float, brightness: float
) -> None:
    transform = FilmTransform(SPEC.model_copy(update={"normalize": "film"}), AugmentOptions())
    other = (FILMS.float() * contrast * 0.6 + 255 * brightness).round().to(torch.uint8)
    (seen,), (also,) = transform.views(FILMS), transform.views(other)
    assert torch.allclose(seen.mean(dim=(1, 2, 3)), torch.zeros(8), atol=1e-4)
    assert torch.allclose(seen.std(dim=(1, 2, 3), correction=0), torch.ones(8), atol=1e-3)
    assert (seen - also).abs().mean() < 0.05  # rounding to whole grays


def test_a_flat_film_is_flat() -> None:
    transform = FilmTransform(SPEC.model_copy(update={"normalize": "film"}), AugmentOptions())
    (seen,) = transform.views(torch.full((2, 64, 64), 9, dtype=torch.uint8))
    assert (seen == 0).all()


@pytest.mark.parametrize("normalize", ["dataset", "film"])
def test_a_film_is_changed_alike_in_any_batch(normalize: str) -> None:
    options = AugmentOptions(area=(0.35, 1), gamma=1.7, flip=0.5)
    transform = FilmTransform(SPEC.model_copy(update={"normalize": normalize}), options)
    draws = transforms.draw(8, transform.draws, seed=1, epoch=2, step=3)
    whole = transform.train(FILMS, draws)
    assert torch.equal(whole[3:5], transform.train(FILMS[3:5], draws[3:5]))

"""Blur, noise and erasing of training films, and the levels that set what is drawn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayograph.config import AugmentOptions, RunConfig, SweepConfig
from rayograph.config.augment import LEVELS
from rayograph.data import transforms
from rayograph.data.transforms import effects
from rayograph.data.transforms.films import FilmTransform
from rayograph.data.transforms.stress import Change
from rayograph.errors import UserError
from rayograph.search import space
from tests.property.test_augmentation import FILMS, SPEC, STILL

EFFECTS = {"blur": 1.5, "noise": 0.1, "erase": 0.7}


@settings(max_examples=25)
@given(st.floats(0.3, 3), st.integers(0, 2**31))
def test_a_blur_spreads_a_point_as_its_gaussian_and_keeps_a_flat_film(
    deviation: float, seed: int
) -> None:
    point = torch.zeros(2, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    point[1] = 0.7
    drawn = torch.tensor([deviation, 3 * (seed / 2**31)])
    found = effects.blurred(point, drawn, 3.0)
    axis = torch.arange(41) - 20.0
    line = torch.exp(-0.5 * (axis / deviation) ** 2) * (axis.abs() <= 9)
    wanted = torch.outer(line, line) / line.sum() ** 2
    assert torch.allclose(found[0, 0], wanted, atol=1e-6)
    assert torch.allclose(found[1], point[1], atol=1e-5)


def test_noise_has_its_deviation_and_is_of_the_films_own_seed() -> None:
    like, deviations = torch.zeros(3, 1, 64, 64), torch.tensor([0.2, 0.2, 0.0])
    found = effects.noise(like, deviations, torch.tensor([0.3, 0.6, 0.9]))
    assert found[0].std().item() == pytest.approx(0.2, rel=0.05)
    assert abs(found[0].mean().item()) < 0.02
    assert (found[0] - found[1]).std().item() == pytest.approx(0.2 * math.sqrt(2), rel=0.05)
    assert (found[2] == 0).all()


def test_a_part_of_the_films_is_erased_and_of_them_a_part_of_the_area() -> None:
    draws = torch.rand(2000, 5, generator=torch.Generator().manual_seed(0))
    found = effects.erased(torch.ones(2000, 1, 40, 40), (0.05, 0.2), 0.3, draws)
    parts = (found == 0).float().mean(dim=(1, 2, 3))
    assert (parts > 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    some = parts[parts > 0]
    assert some.mean().item() == pytest.approx(0.125, abs=0.01)
    assert some.min() > 0.02
    assert some.max() < 0.25
    where = (found == 0).float().mean(dim=(0, 1))
    assert (where.sum(0) > 0).all()
    assert (where.sum(1) > 0).all()
    assert where[10:30, 10:30].max() < 0.15


@pytest.mark.parametrize("part", [slice(3, 5), slice(7, 8), slice(0, 1)])
@pytest.mark.parametrize("level", LEVELS)
def test_a_film_is_changed_alike_in_any_batch(level: str, part: slice) -> None:
    transform = FilmTransform(SPEC, AugmentOptions(level=level, **EFFECTS))
    draws = transforms.draw(8, transform.draws, seed=1, epoch=2, step=3)
    whole = transform.train(FILMS, draws)
    assert torch.equal(whole[part], transform.train(FILMS[part], draws[part]))


def test_what_is_not_asked_for_changes_no_draw_and_no_film() -> None:
    """Of runs that use none of it: their draws are those of before there was any."""
    for options, draws in (({}, 7), ({"gamma": 1.7}, 9), ({"area": (0.35, 1)}, 9), (EFFECTS, 17)):
        assert FilmTransform(SPEC, AugmentOptions(**options)).draws == draws
    still = AugmentOptions(scale=(1, 1), shift=0, **STILL, blur=1e-9, noise=1e-9, erase=1e-9)
    transform = FilmTransform(SPEC, still)
    films = transform.train(FILMS, transforms.draw(8, 17, 1, 2, 3))
    assert torch.allclose(films, transform.views(FILMS)[0], atol=1e-4)


def test_a_level_sets_the_numbers_and_each_may_be_given() -> None:
    assert RunConfig.load(None, ["augment.level=light"]) == RunConfig()
    strong = RunConfig.load(None, ["augment.level=strong"]).augment
    assert (strong.area, strong.gamma, strong.rotation) == ((0.35, 1), 1.7, 10)
    assert (strong.brightness, strong.contrast) == (0, 0)
    words = ["augment.level=strong", "augment.gamma=1", "augment.area=null", "augment.shift=0.1"]
    given = RunConfig.load(None, words)
    assert (given.augment.gamma, given.augment.area, given.augment.shift) == (1, None, 0.1)
    assert (given.augment.rotation, given.augment.contrast) == (10, 0)
    assert RunConfig.parse(given.model_dump(mode="json")) == given
    with pytest.raises(UserError, match=r"takes the place of shift: .*; level=strong has area"):
        RunConfig.load(None, ["augment.level=strong", "augment.shift=0.1"])
    with pytest.raises(UserError, match=r"augment.level=huge: .*'light', 'medium' or 'strong'"):
        RunConfig.load(None, ["augment.level=huge"])
    with pytest.raises(UserError, match=r"erase_area \[0.3, 0.1\]: must be min"):
        RunConfig.load(None, ["augment.erase_area=[0.3, 0.1]"])


def test_a_sweep_may_search_the_level() -> None:
    config = SweepConfig.load(None, ["augment.gamma=1.2"])
    found = space.applied(config, {"augment.level": "strong"}).augment
    assert found == AugmentOptions(level="strong", gamma=1.2)


def test_stress_stretches_squeezes_and_bends_the_tones_of_what_is_judged() -> None:
    ramp = torch.arange(60.0).mul(4).expand(2, 1, 60, 60)
    middle = Change(width=1.2)(ramp)[0, 0]
    assert torch.allclose(middle[:, 30] - middle[:, 29], torch.tensor(4 / 1.2), atol=1e-3)
    assert torch.allclose(middle, middle[0].expand_as(middle), atol=1e-3)
    squeezed = Change(height=0.8)(torch.full((1, 1, 60, 60), 200.0))[0, 0]
    assert (squeezed[:5] == 0).all()
    assert torch.allclose(squeezed[7:53], torch.tensor(200.0), atol=1e-2)
    assert torch.allclose(Change()(ramp), ramp, atol=1e-3)
    tones = Change(gamma=1.5)(ramp) / 255
    assert torch.allclose(tones, (ramp / 255) ** 1.5, atol=1e-5)
    every = FilmTransform(SPEC, AugmentOptions()).stressed()
    seen = torch.stack([each.views(FILMS)[0] for each in every])
    plain = FilmTransform(SPEC, AugmentOptions()).views(FILMS)[0]
    assert len(every) == 8
    assert ((seen - plain).abs().mean(dim=(1, 2, 3, 4)) > 0.05).all()

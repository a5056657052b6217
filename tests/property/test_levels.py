"""Levels of augmentation, what they draw, and what films are stressed by."""

import pytest
import torch

from rayograph.config import AugmentOptions, RunConfig, SweepConfig
from rayograph.config.augment import LEVELS
from rayograph.data import transforms
from rayograph.data.transforms.films import FilmTransform
from rayograph.data.transforms.stress import Change
from rayograph.errors import UserError
from rayograph.search import space
from tests.property.test_augmentation import FILMS, SPEC


@pytest.mark.parametrize("part", [slice(3, 5), slice(7, 8), slice(0, 1)])
@pytest.mark.parametrize("level", LEVELS)
def test_a_film_is_changed_alike_in_any_batch(level: str, part: slice) -> None:
    transform = FilmTransform(SPEC, AugmentOptions(level=level))
    draws = transforms.draw(8, transform.draws, seed=1, epoch=2, step=3)
    whole = transform.train(FILMS, draws)
    assert torch.equal(whole[part], transform.train(FILMS[part], draws[part]))


def test_what_is_not_asked_for_changes_no_draw() -> None:
    for options, draws in (({}, 7), ({"gamma": 1.7}, 9), ({"area": (0.35, 1)}, 9)):
        assert FilmTransform(SPEC, AugmentOptions(**options)).draws == draws


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

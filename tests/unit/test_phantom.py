import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from rayograph.pack.phantom import CLASSES, PATIENT_PATTERN, film, write


@pytest.mark.parametrize("size", [64, 100, 256])
def test_a_film_is_gray_bytes_of_the_size_asked(size: int) -> None:
    made = film(1, opacity=True, size=size)
    assert made.shape == (size, size)
    assert made.dtype == np.uint8


def test_a_seed_gives_one_film_and_another_seed_another() -> None:
    assert np.array_equal(film(7, opacity=True, size=64), film(7, opacity=True, size=64))
    assert not np.array_equal(film(7, opacity=False, size=64), film(8, opacity=False, size=64))


def test_air_is_dark_lungs_are_gray_and_the_heart_is_bright() -> None:
    mean = np.mean([film(seed, opacity=False, size=64) for seed in range(20)], axis=0)
    air, lung, heart = mean[2:6, 2:10], mean[24:30, 14:18], mean[38:42, 32:36]
    assert air.mean() + 10 < lung.mean() < heart.mean() - 60


def test_the_heart_points_to_the_right_of_the_film() -> None:
    mean = np.mean([film(seed, opacity=False, size=64) for seed in range(20)], axis=0)
    band = mean[38:42]
    assert band[:, 38:44].mean() > band[:, 20:26].mean() + 15


def test_brightness_alone_does_not_tell_the_classes() -> None:
    ill = [seed % 2 for seed in range(300)]
    gray = [film(seed, bool(seed % 2), size=32).mean() for seed in range(300)]
    assert 0.4 < roc_auc_score(ill, gray) < 0.65


def test_an_opacity_only_adds_to_the_lungs() -> None:
    pairs = [(film(seed, True, size=64), film(seed, False, size=64)) for seed in range(20)]
    change = np.mean([ill.astype(float) - well for ill, well in pairs], axis=0)
    assert change[20:40, 8:24].mean() > 3 * abs(change[:6].mean()) + 1


def test_write_makes_exactly_the_films_and_no_patient_is_in_two_parts(tmp_path: Path) -> None:
    write(tmp_path / "a", films=101, seed=3, size=32)
    write(tmp_path / "b", films=101, seed=3, size=32)
    made = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(made) == 101
    for path in made:
        first, second = (np.asarray(Image.open(tmp_path / side / path)) for side in "ab")
        assert np.array_equal(first, second)
    homes: dict[str, set[Path]] = {}
    for path in made:
        match = re.fullmatch(PATIENT_PATTERN, path.name)
        assert match
        homes.setdefault(match[1], set()).add(path.parent)
    assert all(len(home) == 1 for home in homes.values())
    assert {(path.parts[0], path.parts[1]) for path in made} == {
        (part, label) for part in ("train", "val", "test") for label in CLASSES
    }

"""Films that look the same: what is found equals a comparison of every film with every other."""

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rayograph.pack import lookalikes, phantom


def every_pair(hashes: np.ndarray, thumbs: np.ndarray) -> set[tuple[int, int]]:
    flat = thumbs.reshape(len(thumbs), -1).astype(float)
    agree = np.corrcoef(flat)
    return {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if int(hashes[i] ^ hashes[j]).bit_count() <= 3 and agree[i, j] > 0.99
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 20), st.floats(0, 0.1), st.sampled_from([0, 2, 8]))
def test_every_pair_is_found_and_no_other(seed: int, n: int, flips: float, noise: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, 6, dtype=np.uint64)
    kinds = rng.integers(0, 6, n)
    flipped = (rng.random((n, 64)) < flips).astype(np.uint64) << np.arange(64, dtype=np.uint64)
    hashes = base[kinds] ^ flipped.sum(axis=1, dtype=np.uint64)
    originals = rng.integers(20, 230, (6, 8, 8)).repeat(8, axis=1).repeat(8, axis=2)
    thumbs = originals[kinds] + rng.normal(0, 1 + noise, (n, 64, 64)).round()
    thumbs = thumbs.clip(0, 255).astype(np.uint8)
    found = lookalikes.pairs(hashes, lambda rows: thumbs[rows])
    assert {tuple(pair) for pair in found.tolist()} == every_pair(hashes, thumbs)
    assert found.tolist() == sorted(found.tolist())


def test_copies_and_crowds_do_not_grow_with_the_square() -> None:
    rng = np.random.default_rng(0)
    film = phantom.film(1, opacity=False, size=64)
    thumbs = np.clip(film + rng.integers(-2, 3, (1500, 64, 64)), 0, 255).astype(np.uint8)
    thumbs[500:1000] = film  # 500 equal ones, and 1,000 that look like them
    found = lookalikes.pairs(np.zeros(1500, np.uint64), lambda rows: thumbs[rows])
    assert set(found.ravel().tolist()) == set(range(1500))
    assert [500, 999] in found.tolist()
    assert [501, 999] not in found.tolist()
    assert len(found) < 1500 * (lookalikes.MOST + 2)


def test_films_altered_as_archives_alter_them_are_found_and_honest_ones_are_not() -> None:
    films = [Image.fromarray(phantom.film(i, opacity=i % 2 > 0, size=256)) for i in range(12)]
    jpeg = io.BytesIO()
    films[0].save(jpeg, "JPEG", quality=60)
    altered = [
        Image.open(jpeg),
        films[1].point(lambda level: min(level + 8, 255)),
        films[2].crop((2, 2, 254, 254)).resize((256, 256)),
        films[3].resize((230, 230)).resize((256, 256)),
    ]
    hashes, thumbs = lookalikes.looks(np.stack([np.asarray(film) for film in films + altered]))
    found = lookalikes.pairs(hashes, lambda rows: thumbs[rows])
    assert found.tolist() == [[0, 12], [1, 13], [2, 14], [3, 15]]


def test_the_picture_of_pairs_shows_24_at_most() -> None:
    film = lookalikes.Named("train/a film – ü.png" * 4, phantom.film(1, opacity=False, size=64))
    sizes = []
    for count in (1, 24, 200):
        picture = Image.open(io.BytesIO(lookalikes.pairs_picture([(film, film)] * count)))
        sizes.append(picture.size)
        assert np.asarray(picture).std() > 20
    assert sizes[0] != sizes[1] == sizes[2]

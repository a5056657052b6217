"""A split judged in shares: every film once, and the same bits for any number of workers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import made
from rayograph.config import ModelOptions
from rayograph.data import transforms
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import ImageTransform
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Share
from rayograph.models.build import build

FILMS = made.phantoms(32, 16)


@pytest.mark.parametrize(("films", "batch"), [(1, 4), (63, 16), (101, 25)])
def test_any_number_of_workers_gives_the_same_logits(
    films: int, batch: int, tmp_path: Path
) -> None:
    made.dataset(str(tmp_path), films, batch, 50, FILMS)
    dataset = Dataset.open(str(tmp_path))
    torch.manual_seed(0)
    network = build(ModelOptions(name="cnn", width=4, depth=2), (1, 32, 32), 2)
    spec = ImageTransform(size=32, mean=0.5, std=0.25)
    transform = transforms.build(spec)
    alone = inference.here(network, dataset, "train", transform, 2)
    assert len(set(alone.ids.values())) == films
    for world in range(1, 6):  # more than there are record batches, too
        share = Share(network, dataset.uri, None, "train", transform, 2, world)
        found = inference.total(map(share, range(world)))
        assert (found.seen == 1).all()
        assert found.ids == alone.ids
        assert found.labels.tobytes() == alone.labels.tobytes()
        assert found.values.tobytes() == alone.values.tobytes()
        assert np.isfinite(found.values).all()

"""What a model says of films: logits for a packed split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rayograph.data import augment, stream
from rayograph.data.dataset import Dataset

BATCH = 64  # films per forward pass


@dataclass(frozen=True)
class Logits:
    """A worker's part of a split; the other rows are zero, so the parts add up.

    `values` float32 [films, classes], `labels` int64 [films], `seen` int64 [films]: how often;
    `ids` by row.
    """

    values: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    seen: npt.NDArray[np.int64]
    ids: dict[int, str]


@torch.inference_mode()
def logits(
    model: nn.Module,
    dataset: Dataset,
    split: str,
    image_size: int,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
    alive: Callable[[], None] = lambda: None,
) -> Logits:
    """The logits of every world-th record batch of a split, in float32, without padding.

    `alive` is called for each of them.
    """
    manifest = dataset.manifest
    rows = dataset.split(split).rows
    out = Logits(
        np.zeros((rows, len(manifest.classes)), np.float32),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int64),
        {},
    )
    training = model.training
    model.eval()
    for batch in stream.stored(dataset, split, rank, world):
        for start in range(0, len(batch.rows), BATCH):
            part = slice(start, start + BATCH)
            films = torch.from_numpy(batch.films[part]).to(device)
            pictures = augment.whole(films, image_size, manifest.mean, manifest.std)
            out.values[batch.rows[part]] = model(pictures).float().cpu().numpy()
        alive()
        out.labels[batch.rows] = batch.labels
        out.seen[batch.rows] += 1
        out.ids.update(zip(batch.rows.tolist(), batch.ids, strict=True))
    model.train(training)
    return out

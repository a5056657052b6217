"""What a model says of a packed split: logits, every sample exactly once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rayograph.data import stream
from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform

Rows = npt.NDArray[np.int64]
BATCH = 64  # samples per forward pass


@dataclass(frozen=True)
class Logits:
    """A worker's part of a split; the other rows are zero, so the parts add up.

    `values` float32 [n, outputs], `labels` int8 [n, classes of the dataset], `seen` int64 [n]: how
    often; `ids` by row.
    """

    values: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]
    seen: npt.NDArray[np.int64]
    ids: dict[int, str]


def over_views(network: nn.Module, transform: Transform, samples: Tensor) -> Tensor:
    """A network's logits float32 [n, k] of packed samples [n, …], the mean over their views.

    Whoever judges does it by this. The views take a forward pass each, of n samples, so that many
    need no more memory than one.
    """
    found = [network(view).float() for view in transform.views(samples)]
    return found[0] if len(found) == 1 else torch.stack(found).mean(dim=0)


@torch.inference_mode()
def logits(
    model: nn.Module,
    dataset: Dataset,
    split: str,
    transform: Transform,
    outputs: int,
    device: torch.device,
    rank: int = 0,
    world: int = 1,
    alive: Callable[[], None] = lambda: None,
    note: Callable[[Rows, npt.NDArray[Any]], None] = lambda _rows, _inputs: None,
) -> Logits:
    """The logits of every world-th record batch of a split, in float32, without padding.

    `alive` is called for each of them, `note` after each forward pass, with its rows and packed
    inputs.
    """
    rows, classes = dataset.split(split).rows, len(dataset.manifest.classes)
    out = Logits(
        np.zeros((rows, outputs), np.float32),
        np.zeros((rows, classes), np.int8),
        np.zeros(rows, np.int64),
        {},
    )
    training = model.training
    model.eval()
    for batch in stream.stored(dataset, split, rank, world):
        for start in range(0, len(batch.rows), BATCH):
            part = slice(start, start + BATCH)
            samples = torch.from_numpy(batch.inputs[part]).to(device)
            out.values[batch.rows[part]] = over_views(model, transform, samples).cpu().numpy()
            note(batch.rows[part], batch.inputs[part])
        alive()
        out.labels[batch.rows] = batch.labels
        out.seen[batch.rows] += 1
        out.ids.update(zip(batch.rows.tolist(), batch.ids, strict=True))
    model.train(training)
    return out


class Inference(Protocol):
    """Gives the logits of a whole split: of this process, or of a cluster's workers."""

    def __call__(
        self, network: nn.Module, dataset: Dataset, split: str, transform: Transform, outputs: int
    ) -> Logits:
        """Those of `network`, with so many outputs, as `logits`."""


def here(
    network: nn.Module, dataset: Dataset, split: str, transform: Transform, outputs: int
) -> Logits:
    """The `Inference` of this process alone, where the model is."""
    device = next(network.parameters()).device
    return logits(network, dataset, split, transform, outputs, device)


@dataclass(frozen=True)
class Share:
    """What each of `world` workers is given, to judge its share of a split by its rank."""

    network: nn.Module
    dataset: str
    fold: int | None
    split: str
    transform: Transform
    outputs: int
    world: int

    def __call__(self, rank: int) -> Logits:
        """The logits of every world-th record batch, on the worker's GPU if it has one."""
        dataset = Dataset.open(self.dataset, fold=self.fold)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = self.network.to(device)
        return logits(
            network, dataset, self.split, self.transform, self.outputs, device, rank, self.world
        )


def total(parts: Iterable[Logits]) -> Logits:
    """All shares as one; at least one is needed. A sum with zeros changes no bit."""
    every = iter(parts)
    first = next(every)
    found = Logits(first.values.copy(), first.labels.copy(), first.seen.copy(), dict(first.ids))
    for part in every:
        found.values[:] += part.values
        found.labels[:] += part.labels
        found.seen[:] += part.seen
        found.ids.update(part.ids)
    return found

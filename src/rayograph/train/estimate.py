"""What a run will need, before anything is started: steps, bytes, memory, time and price."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rayograph.config import RunConfig
from rayograph.data import order, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Split
from rayograph.models.build import build
from rayograph.train import optim

FORWARD = 1 / 3  # of a training step's time; to judge does no more


@dataclass(frozen=True)
class Needs:
    """What a run will need; bytes, and without a given speed neither time nor price."""

    epochs_done: int
    films: int
    validation_films: int
    steps_per_epoch: int
    steps: int
    bytes_per_worker_and_epoch: int
    checkpoint_bytes: int
    memory_per_worker: Mapping[str, int]
    seconds: float | None = None
    price: float | None = None

    def to_json(self) -> dict[str, Any]:
        """What `train --dry-run --json` prints."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def estimate(
    config: RunConfig,
    dataset: Dataset,
    done: int,
    films_per_s: float | None = None,
    price: float | None = None,
) -> Needs:
    """The needs of a run; `films_per_s` of all workers together, `price` of a worker's hour.

    Activations are those of one forward pass in float32, counted on the model itself without
    computing it; bf16 needs about half. What frameworks and Ray need comes on top (docs/guide.md).
    """
    train, world = config.train, config.cluster.most
    split = dataset.split("train")
    plan = order.plan(
        split.batch_rows, train.batch_size, dataset.manifest.fingerprint, train.seed, epoch=0
    )
    val = dataset.split("val") if "val" in dataset.splits else None
    transform = dataset.transform(config.data, config.evaluate)
    shape = transform.shape
    options = config.model.model_copy(update={"weights": None})
    with torch.device("meta"):
        model = build(options, shape, dataset.task.outputs)
    weights = _bytes([*model.parameters(), *model.buffers()])
    trained = _bytes([p for p in model.parameters() if p.requires_grad])
    kept = optim.moments(config.optim) * trained + (0 if train.ema is None else weights)
    share = min(train.micro_batch or train.batch_size, -(-train.batch_size // world))
    watched = [dataset.split(name) for name in train.watch]
    stressed = transforms.build(transform).stressed() if train.stress else []
    judged = (val.rows if val else 0) * (1 + len(stressed)) + sum(each.rows for each in watched)
    work = split.rows + FORWARD * judged * transform.passes
    seconds = films_per_s and work / films_per_s * train.epochs
    return Needs(
        epochs_done=done,
        films=split.rows,
        validation_films=val.rows if val else 0,
        steps_per_epoch=plan.steps,
        steps=plan.steps * train.epochs,
        bytes_per_worker_and_epoch=_fetched(split, plan, world)
        + sum(_stored(each, world) for each in (val, *watched)),
        checkpoint_bytes=weights + kept,
        memory_per_worker={
            "model": weights,
            "gradients_and_optimizer": trained + kept,
            "activations": _activations(model, (share, *shape)),
        },
        seconds=seconds,
        price=None if seconds is None or price is None else seconds / 3600 * world * price,
    )


def _fetched(split: Split, plan: order.Plan, world: int) -> int:
    """The bytes of the record batches that rank 0 reads in an epoch."""
    first = np.cumsum(split.batch_rows) - split.batch_rows
    sizes = np.array([batch.bytes for _, batch in split.batches])
    shares = (plan.batch(step)[plan.share(step, 0, world)] for step in range(plan.steps))
    numbers = [np.unique(np.searchsorted(first, rows, side="right") - 1) for rows in shares]
    return int(sizes[np.unique(np.concatenate(numbers))].sum())


def _stored(split: Split | None, world: int) -> int:
    """The bytes that rank 0 reads of a split in stored order."""
    if split is None:
        return 0
    return sum(batch.bytes for _, batch in split.batches[::world])


def _activations(model: nn.Module, shape: tuple[int, ...]) -> int:
    """The bytes that a forward pass of such a batch keeps for the backward pass."""
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage  # held, or its number would be used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(torch.zeros(shape, device="meta"))
    return sum(storage.nbytes() for storage in kept.values())


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

"""What a run will need, before anything is started: steps, bytes, memory, time and price."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from rayograph.config import RunConfig
from rayograph.data import order, stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Split
from rayograph.models.build import build
from rayograph.train import optim

FORWARD = 1 / 3  # of a training step's time; to judge does no more
GET = 0.0004 / 1000  # USD a request: S3 Standard's list price in US East (N. Virginia), 2026
MOVED = 0.02 / 1e9  # USD a byte, from there to another region of AWS; inside the region nothing


@dataclass(frozen=True)
class Bill:
    """What all workers ask of the store in the whole run, and what S3 would charge, in USD.

    Of a run that keeps films on its nodes (`data.cache`) at most: each worker on a node of its own.
    """

    requests: int
    bytes: int
    usd: float
    usd_from_another_region: float

    @classmethod
    def of(cls, requests: int, size: int) -> "Bill":
        """At the list prices above."""
        return cls(requests, size, requests * GET, requests * GET + size * MOVED)


@dataclass(frozen=True)
class Needs:
    """What a run will need; bytes, and without a given speed neither time nor price."""

    epochs_done: int
    films: int
    validation_films: int
    steps_per_epoch: int
    steps: int
    bytes_per_worker_and_epoch: int
    bill: Bill
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
    kept = optim.moments(config.optim) * trained
    share = min(train.micro_batch or train.batch_size, -(-train.batch_size // world))
    watched = [dataset.split(name) for name in train.watch]
    stressed = transforms.build(transform).stressed() if train.stress else []
    judged = (val.rows if val else 0) * (1 + len(stressed)) + sum(each.rows for each in watched)
    work = split.rows + FORWARD * judged * transform.passes
    seconds = films_per_s and work / films_per_s * train.epochs
    trained_on, judged_on = (
        _fetched(split, plan, world),
        [_stored(s, world) for s in (val, *watched)],
    )
    return Needs(
        epochs_done=done,
        films=split.rows,
        validation_films=val.rows if val else 0,
        steps_per_epoch=plan.steps,
        steps=plan.steps * train.epochs,
        bytes_per_worker_and_epoch=trained_on.bytes + sum(each.bytes for each in judged_on),
        bill=_bill(config, split, trained_on, judged_on),
        checkpoint_bytes=weights + kept,
        memory_per_worker={
            "model": weights,
            "gradients_and_optimizer": trained + kept,
            "activations": _activations(model, (share, *shape)),
        },
        seconds=seconds,
        price=None if seconds is None or price is None else seconds / 3600 * world * price,
    )


@dataclass(frozen=True)
class _Read:
    """What rank 0 reads in an epoch."""

    batches: int
    requests: int
    bytes: int


def _fetched(split: Split, plan: order.Plan, world: int) -> _Read:
    """For training: requests of neighbours, which lanes cut, and of the first step by itself."""
    count = len(split.batch_rows)
    rows = plan.rows(0, world)
    numbers = np.unique(np.repeat(np.arange(count), split.batch_rows)[rows])
    sizes = np.array([batch.bytes for _, batch in split.batches])
    group, lanes = order.group(count), -(-plan.lanes // world)
    blocks = np.stack([numbers // group, numbers // stream.together(lanes)])
    requests = np.unique(blocks, axis=1).shape[1] + lanes + len(plan.share(0, 0, world))
    return _Read(len(numbers), min(requests, len(numbers)), int(sizes[numbers].sum()))


def _stored(split: Split | None, world: int) -> _Read:
    """Of a split in stored order, every `world`-th record batch."""
    own = split.batches[::world] if split else ()
    return _Read(len(own), len(own), sum(batch.bytes for _, batch in own))


def _bill(config: RunConfig, split: Split, trained_on: _Read, judged_on: list[_Read]) -> Bill:
    """Of all workers and epochs; with a cache each record batch comes to a node once."""
    epochs, world = config.train.epochs, config.cluster.most
    if config.data.cache is None:
        reads = [trained_on, *judged_on]
        requests = epochs * sum(each.requests for each in reads)
        size = epochs * sum(each.bytes for each in reads)
    else:
        whole = sum(batch.bytes for _, batch in split.batches)
        requests = min(epochs * trained_on.batches, len(split.batches))
        requests += sum(each.batches for each in judged_on)
        size = min(epochs * trained_on.bytes, whole) + sum(each.bytes for each in judged_on)
    return Bill.of(world * requests, world * size)


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

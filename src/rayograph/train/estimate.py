"""What a run will need, before anything is started: steps, bytes, memory, time and price."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rayograph.config import RunConfig
from rayograph.data import order, stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Split
from rayograph.models.build import build
from rayograph.train import optim
from rayograph.train.features import MOST_BYTES
from rayograph.train.feed import features_bytes

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
    size = features_bytes(config, dataset, model, transforms.build(transform, config.augment))
    vals = [] if val is None else [val]
    reads = [_Read.stored(s, world, train.epochs) for s in vals * len(stressed) + watched]
    if size is not None and size <= MOST_BYTES:  # films are read once, before the first epoch
        reads += [_Read.stored(each, world, 1) for each in (split, *vals)]
    else:
        reads += [_Read.stored(each, world, train.epochs) for each in vals]
        reads.append(_Read.trained(config, split, plan))
    return Needs(
        epochs_done=done,
        films=split.rows,
        validation_films=val.rows if val else 0,
        steps_per_epoch=plan.steps,
        steps=plan.steps * train.epochs,
        bytes_per_worker_and_epoch=sum(each.bytes for each in reads),
        bill=_bill(config, reads),
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
    """What rank 0 reads of a split in one of so many epochs."""

    split: Split
    epochs: int
    batches: int
    requests: int
    bytes: int

    @classmethod
    def trained(cls, config: RunConfig, split: Split, plan: order.Plan) -> "_Read":
        """For training: requests of neighbours, which lanes cut; the first step's by themselves.

        All are by themselves where the steps that are decoded at a time fill the memory.
        """
        count, world = len(split.batch_rows), config.cluster.most
        number = np.repeat(np.arange(count), split.batch_rows)
        numbers = np.unique(number[plan.rows(0, world)])
        sizes = np.array([batch.bytes for _, batch in split.batches])
        ahead = range(min(config.cluster.cpus_per_worker + stream.READY, plan.steps))
        first = [number[plan.batch(step)[plan.share(step, 0, world)]] for step in ahead]
        requests = len(numbers)
        if len(np.unique(np.concatenate(first))) < stream.HELD:
            lanes = -(-plan.lanes // world)
            pieces = _pieces(numbers, count, lanes) + lanes + len(np.unique(first[0]))
            requests = min(pieces, requests)
        return cls(split, config.train.epochs, len(numbers), requests, int(sizes[numbers].sum()))

    @classmethod
    def stored(cls, split: Split, world: int, epochs: int) -> "_Read":
        """Of a split in stored order, every `world`-th record batch."""
        count = len(split.batches)
        numbers = np.arange(0, count, world)
        size = sum(batch.bytes for _, batch in split.batches[::world])
        return cls(split, epochs, len(numbers), _pieces(numbers, count, lanes=1), size)

    @property
    def once(self) -> tuple[int, int]:
        """Requests and bytes of all epochs where each record batch comes to a node once."""
        whole = sum(batch.bytes for _, batch in self.split.batches)
        batches = min(self.epochs * self.batches, len(self.split.batches))
        return batches, min(self.epochs * self.bytes, whole)


def _pieces(numbers: npt.NDArray[np.int64], count: int, lanes: int) -> int:
    """How many requests bring these of `count` record batches, neighbours together."""
    blocks = np.stack([numbers // order.group(count), numbers // stream.together(lanes)])
    alone = len(numbers) > 1 and int(np.diff(numbers).min()) > 1
    return len(numbers) if alone else np.unique(blocks, axis=1).shape[1]


def _bill(config: RunConfig, reads: list[_Read]) -> Bill:
    """Of all workers and epochs; a cache brings record batches one by one, and has room or not."""
    splits = {each.split: each for each in reads}
    size = sum(batch.bytes for split in splits for _, batch in split.batches)
    if config.data.cache is None:
        each_time = [(each.epochs * each.requests, each.epochs * each.bytes) for each in reads]
    elif size > config.data.cache_bytes:
        each_time = [(each.epochs * each.batches, each.epochs * each.bytes) for each in reads]
    else:
        each_time = [each.once for each in splits.values()]
    requests, moved = (config.cluster.most * sum(part) for part in zip(*each_time, strict=True))
    return Bill.of(requests, moved)


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

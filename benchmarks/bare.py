"""What `benchmarks.training` compares with: DDP over tensors in memory, as one writes it by hand.

    torchrun --nproc-per-node=2 -m benchmarks.bare FILE [key=value …]

The same model, augmentation, batch sizes and optimizer as the job of that config; no shards, no
run folder, no resuming. Rank 0 writes a JSON line an epoch to FILE.
"""

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rayograph.config import RunConfig
from rayograph.data import stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform
from rayograph.models.build import build
from rayograph.pack import prepare
from rayograph.train import optim


class Films(NamedTuple):
    """A split in memory: uint8 [n, P, P] and int64 [n]."""

    films: Tensor
    labels: Tensor


def loaded(dataset: Dataset, split: str) -> Films:
    """All films of a split."""
    parts = [
        (torch.tensor(part.inputs), torch.tensor(part.labels).argmax(1))
        for part in stream.stored(dataset, split)
    ]
    films, labels = zip(*parts, strict=True)
    return Films(torch.cat(films), torch.cat(labels))


def trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LambdaLR,
    train: Films, config: RunConfig, transform: Transform, epoch: int,
) -> None:  # fmt: skip
    """One epoch in a random order."""
    model.train()
    rank, world = dist.get_rank(), dist.get_world_size()
    order = torch.randperm(len(train.films), generator=torch.Generator().manual_seed(epoch))
    steps = -(-len(order) // config.train.batch_size)
    loss_sum = 0.0
    for step, batch in enumerate(order.tensor_split(steps)):
        own = batch[rank::world]
        draws = transforms.draw(len(batch), transform.draws, config.train.seed, epoch, step)
        pictures = transform.train(train.films[own], draws[rank::world])
        loss = F.cross_entropy(model(pictures), train.labels[own])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        loss_sum += loss.item()


@torch.inference_mode()
def validated(model: nn.Module, val: Films, transform: Transform) -> float:
    """The mean loss, each rank judging its part."""
    model.eval()
    rank, world = dist.get_rank(), dist.get_world_size()
    films, labels = val.films[rank::world], val.labels[rank::world]
    total = torch.zeros(1)
    for part in torch.arange(len(films)).split(64):
        (pictures,) = transform.views(films[part])
        total += F.cross_entropy(model(pictures), labels[part], reduction="sum")
    dist.all_reduce(total)
    return total.item() / len(val.films)


def main() -> None:
    """Load, train, and write down how long each epoch took."""
    out, *overrides = sys.argv[1:]
    config = RunConfig.load("demo", overrides)
    torch.set_num_threads(config.cluster.cpus_per_worker)
    torch.manual_seed(config.train.seed)
    dist.init_process_group("gloo")
    dataset = prepare.dataset(config)
    train, val = loaded(dataset, "train"), loaded(dataset, "val")
    spec = dataset.transform(config.data, config.evaluate)
    transform = transforms.build(spec, config.augment)
    model = build(config.model, spec.shape, dataset.task.outputs)
    model = model.to(memory_format=torch.channels_last)
    steps = -(-len(train.films) // config.train.batch_size)
    optimizer, schedule = optim.build(model, config, steps)
    ddp = DistributedDataParallel(model, gradient_as_bucket_view=True)
    for epoch in range(config.train.epochs):
        began = time.perf_counter()
        trained(ddp, optimizer, schedule, train, config, transform, epoch)
        done = time.perf_counter() - began
        loss = validated(model, val, transform)
        if dist.get_rank() == 0:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(states, Path(out).with_suffix(".pt"))
            whole = time.perf_counter() - began
            row = {"films_per_s": len(train.films) / done, "whole_s": whole, "val_loss": loss}
            with Path(out).open("a") as file:
                file.write(json.dumps(row) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()

"""Whether our reader feeds a GPU: ResNet-50 on films from shards against the same on one batch.

    python -m benchmarks.gpu [--films N] [--batch N] [--rounds N] [--out FILE.json]

The ceiling is the step alone: augment, forward, backward and SGD, bf16, channels_last and compiled,
on a batch that lies on the device. The other side takes each of its batches from a packed dataset
on disk, through the package's order and reader; both augment, with each step's own draws. Rounds
alternate; a round is an epoch, its start included. Needs torch and rayograph: no Ray, no boto3. On
a machine without a GPU it runs on CPUs, smaller, not compiled, and says so.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import made
from benchmarks.targets import Figure, show
from rayograph.config import AugmentOptions, DataOptions, EvaluateOptions, ModelOptions
from rayograph.data import order, stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.models.build import build
from rayograph.train.clock import Clock
from rayograph.train.device import prefetch

PACKED, BATCH_ROWS, SHARD_ROWS = 256, 16, 960
TARGET = 0.95
WARM_UP = 12  # steps: compiling, cuDNN's choices, and the allocator's growth


@dataclass(frozen=True)
class Size:
    """What is run: on a GPU as it would be in earnest, on a CPU as it is bearable."""

    model: str
    image_size: int
    films: int
    batch: int
    compiled: bool

    @classmethod
    def of(cls, device: torch.device) -> "Size":
        """The size for a device."""
        if device.type == "cuda":
            return cls("resnet50", 224, 65536, 256, True)
        return cls("resnet18", 64, 1024, 32, False)


class Step:
    """Augment, forward, backward and update, for films on the device."""

    def __init__(self, dataset: Dataset, size: Size, device: torch.device) -> None:
        torch.manual_seed(0)
        spec = dataset.transform(DataOptions(image_size=size.image_size), EvaluateOptions())
        model = build(ModelOptions(name=size.model), spec.shape, dataset.task.outputs)
        self._model = model.to(device).to(memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.01, momentum=0.9)
        self._forward = torch.compile(self._model) if size.compiled else self._model
        self._transform = transforms.build(spec, AugmentOptions())
        self._size = size
        self._device = device

    def __call__(self, films: Tensor, labels: Tensor, number: int) -> None:
        """One step; its draws are made on the CPU, as in training."""
        draws = transforms.draw(self._size.batch, self._transform.draws, 0, 0, number)
        pictures = self._transform.train(films, draws[: len(films)].to(self._device))
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self._forward(pictures)
        F.cross_entropy(logits.float(), labels).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()


def on_device(
    dataset: Dataset, plan: order.Plan, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The films and labels of an epoch's batches on the device, as the training loop has them."""
    batches = stream.training(dataset, "train", plan, 0, 1, pin=device.type == "cuda")
    with closing(batches):
        for batch in prefetch(batches, device, Clock()):
            yield batch.inputs, batch.labels.argmax(1)


def fed(step: Step, dataset: Dataset, batch: int, epoch: int, device: torch.device) -> float:
    """Films/s of an epoch that is read."""
    split = dataset.split("train")
    began = time.perf_counter()
    plan = order.plan(split.batch_rows, batch, dataset.manifest.fingerprint, 0, epoch)
    for number, (films, labels) in enumerate(on_device(dataset, plan, device)):
        step(films, labels, number)
    return float(split.rows / _since(began, device))


def resident(step: Step, films: Tensor, labels: Tensor, steps: int) -> float:
    """Films/s of as many steps on one batch."""
    began = time.perf_counter()
    for number in range(steps):
        step(films, labels, number)
    return steps * len(films) / _since(began, films.device)


def read(dataset: Dataset, batch: int) -> float:
    """Films/s of the reader alone: what it could feed."""
    split = dataset.split("train")
    plan = order.plan(split.batch_rows, batch, dataset.manifest.fingerprint, 0, 0)
    began = time.perf_counter()
    films = sum(len(found.inputs) for found in stream.training(dataset, "train", plan, 0, 1))
    return films / (time.perf_counter() - began)


def _since(began: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure(place: str, size: Size, rounds: int, device: torch.device) -> list[Figure]:
    """Rounds of both, in turn."""
    dataset = Dataset.open(place)
    split = dataset.split("train")
    step = Step(dataset, size, device)
    plan = order.plan(split.batch_rows, size.batch, dataset.manifest.fingerprint, 0, 0)
    films, labels = (tensor.clone() for tensor in next(on_device(dataset, plan, device)))
    resident(step, films, labels, WARM_UP)
    both: list[tuple[float, float]] = []
    for epoch in range(rounds):
        ceiling = resident(step, films, labels, plan.steps)
        both.append((fed(step, dataset, size.batch, epoch, device), ceiling))
        print(f"  round {epoch + 1}: fed {both[-1][0]:,.0f}, resident {ceiling:,.0f} films/s")
    ratios = [ours / ceiling for ours, ceiling in both]
    return [
        Figure("fed by the reader", statistics.median(ours for ours, _ in both), "films/s"),
        Figure("one resident batch", statistics.median(ceiling for _, ceiling in both), "films/s"),
        Figure("the reader alone, into memory", read(dataset, size.batch), "films/s"),
        Figure("fed / resident, median of the rounds", statistics.median(ratios), least=TARGET),
        Figure("the same, worst round", min(ratios)),
    ]


def main() -> None:
    """Make the dataset, measure, and print."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    usual = Size.of(device)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=usual.model)
    parser.add_argument("--image-size", type=int, default=usual.image_size)
    parser.add_argument("--films", type=int, default=usual.films)
    parser.add_argument("--batch", type=int, default=usual.batch)
    parser.add_argument("--rounds", type=int, default=5 if device.type == "cuda" else 3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=usual.compiled)
    parser.add_argument("--out", type=Path)
    words = parser.parse_args()
    films = words.films // words.batch * words.batch  # batches of one size compile once
    size = Size(words.model, words.image_size, films, words.batch, words.compile)
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1)  # on a CPU; the reader has threads of its own
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, NO GPU HERE"
    print(f"{name}; torch {torch.__version__}; {size}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        made.dataset(place, films, BATCH_ROWS, SHARD_ROWS, made.phantoms(PACKED))
        figures = measure(place, size, words.rounds, device)
    uninvited = {"ray", "boto3"} & set(sys.modules)
    assert not uninvited, f"imported on the way: {uninvited}"
    title = f"{size.model} at {size.image_size} pixels on {name}"
    show(title, figures, words.out, device=name, torch=torch.__version__, size=str(size))


if __name__ == "__main__":
    main()

"""How long a step of a config takes on this machine: built, and measured on random input."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from rayograph.config import RunConfig
from rayograph.data import transforms
from rayograph.data.dataset import Dataset
from rayograph.data.stream import Batch
from rayograph.models.build import build
from rayograph.train import losses, optim
from rayograph.train.device import DeviceBatch
from rayograph.train.feed import Samples
from rayograph.train.reduction import StepFlags
from rayograph.train.state import State
from rayograph.train.step import Stepper
from rayograph.train.world import World

FIRST, FEWEST, MOST = 1, 3, 9  # steps that are not counted, and that are
LONG_S = 6.0  # after which no further step is measured
BUSY = 1.5  # times as long as its CPU time on all threads: something else ran


@dataclass(frozen=True)
class Measured:
    """What a step of one worker's share of `films` samples takes: medians of `steps` steps.

    `seconds` by the clock, and by what its threads computed in them; of a GPU's steps the latter is
    not known, and None.
    """

    clock_seconds: float
    cpu_seconds: float | None
    steps: int
    films: int

    @property
    def busy(self) -> bool:
        """Whether other work took the cores meanwhile."""
        return self.cpu_seconds is not None and self.clock_seconds > BUSY * self.cpu_seconds

    @property
    def seconds(self) -> float:
        """What a step takes where there is no other work."""
        own = self.cpu_seconds if self.busy else None
        return own or self.clock_seconds

    @property
    def films_per_s(self) -> float:
        """Of one worker."""
        return self.films / self.seconds


def step(config: RunConfig, dataset: Dataset) -> Measured | None:
    """Measure a step of one worker's share, from packed samples in memory to new weights.

    Reading films, and summing gradients over workers, is not in it. None where the config wants a
    GPU and there is none here. Weights are random ones, which take as long.
    """
    if config.cluster.gpus_per_worker and not torch.cuda.is_available():
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(config.cluster.cpus_per_worker)
    try:
        return _measured(*_prepared(config, dataset), config.cluster.cpus_per_worker)
    finally:
        torch.set_num_threads(threads)


def _prepared(config: RunConfig, dataset: Dataset) -> tuple[Stepper, DeviceBatch]:
    device = torch.device("cuda" if config.cluster.gpus_per_worker else "cpu")
    spec, outputs = dataset.transform(config.data, config.evaluate), dataset.task.outputs
    model = build(config.model.model_copy(update={"weights": None}), spec.shape, outputs)
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer, schedule = optim.build(model, config, 1000)
    manifest = dataset.manifest
    state = State(model, optimizer, schedule, manifest.fingerprint, config)
    loss = losses.build(manifest.task, config, dataset.split("train").labels, device)
    transform = transforms.build(spec, config.augment)
    world = World(0, 1, device)
    films = Samples(config, dataset, model, transform, spec.shape, world)
    stepper = Stepper(config, world, state, films, loss)
    stepper.train_mode()
    count = max(2, config.train.batch_size // config.cluster.most)
    inputs = np.zeros((count, *dataset.inputs.shape), dataset.inputs.dtype)
    if np.issubdtype(inputs.dtype, np.integer):  # of a record 0 is a category, too
        inputs[:] = np.random.default_rng(0).integers(0, 256, inputs.shape)
    labels = np.eye(len(manifest.classes), dtype=np.int8)[np.arange(count) % len(manifest.classes)]
    rows = np.arange(count)
    given = [torch.from_numpy(each).to(device) for each in (inputs, labels)]
    return stepper, DeviceBatch(Batch(inputs, labels, rows, rows, count), *given)


def _measured(stepper: Stepper, batch: DeviceBatch, threads: int) -> Measured:
    taken: list[tuple[float, float]] = []
    on_gpu = stepper.world.device.type == "cuda"
    began = time.perf_counter()
    for number in range(FIRST + MOST):
        start, computed = time.perf_counter(), time.process_time()
        stepper(batch, StepFlags(save=False, stop=False))
        if on_gpu:
            torch.cuda.synchronize()
        if number >= FIRST:
            taken.append((time.perf_counter() - start, time.process_time() - computed))
        if len(taken) >= FEWEST and time.perf_counter() - began > LONG_S:
            break
    clock, cpu = (statistics.median(each) for each in zip(*taken, strict=True))
    return Measured(clock, None if on_gpu else cpu / threads, len(taken), len(batch.batch.rows))

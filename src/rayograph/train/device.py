"""The device of a worker, and batches on it, copied while the step before is computed."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rayograph.data.stream import Batch
from rayograph.train.clock import Clock


@dataclass(frozen=True)
class DeviceBatch:
    """A batch whose inputs [n, *shape] and labels, int8 [n, k], are on the device."""

    batch: Batch
    inputs: Tensor
    labels: Tensor


def name(device: torch.device) -> str:
    """What its maker calls it, as far as the system says so."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def prefetch(batches: Iterator[Batch], device: torch.device, clock: Clock) -> Iterator[DeviceBatch]:
    """Each batch on the device; on a GPU the next one's copy, on a stream of its own, has begun.

    A batch's inputs in main memory are given up for the next one once their copy is complete.
    """
    if device.type != "cuda":
        for batch in batches:
            clock.lap("data")
            yield DeviceBatch(batch, torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels))
        return
    copying = torch.cuda.Stream(device)

    def begun() -> tuple[DeviceBatch, torch.cuda.Event] | None:
        batch = next(batches, None)
        clock.lap("data")
        if batch is None:
            return None
        with torch.cuda.stream(copying):
            inputs = torch.from_numpy(batch.inputs).to(device, non_blocking=True)
            labels = torch.from_numpy(batch.labels).to(device, non_blocking=True)
            return DeviceBatch(batch, inputs, labels), copying.record_event()

    following = begun()
    while following is not None:
        ready, copied = following
        copied.synchronize()
        clock.lap("device")
        following = begun()
        for tensor in (ready.inputs, ready.labels):  # used by another stream than they are made on
            tensor.record_stream(torch.cuda.current_stream(device))
        yield ready

"""Films on the device, copied while the step before is computed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rayograph.data.stream import Batch
from rayograph.train.clock import Clock


@dataclass(frozen=True)
class Given:
    """A batch whose films, uint8 [n, size, size], and labels, int64 [n], are on the device."""

    batch: Batch
    films: Tensor
    labels: Tensor


def ahead(batches: Iterator[Batch], device: torch.device, clock: Clock) -> Iterator[Given]:
    """Each batch on the device; on a GPU the next one's copy, on a stream of its own, has begun.

    A batch's films in memory are given up for the next one once their copy is complete.
    """
    if device.type != "cuda":
        for batch in batches:
            clock.lap("data")
            yield Given(batch, torch.from_numpy(batch.films), torch.from_numpy(batch.labels))
        return
    copying = torch.cuda.Stream(device)

    def begun() -> tuple[Given, torch.cuda.Event] | None:
        batch = next(batches, None)
        clock.lap("data")
        if batch is None:
            return None
        with torch.cuda.stream(copying):
            films = torch.from_numpy(batch.films).to(device, non_blocking=True)
            labels = torch.from_numpy(batch.labels).to(device, non_blocking=True)
            return Given(batch, films, labels), copying.record_event()

    following = begun()
    while following is not None:
        given, copied = following
        copied.synchronize()
        clock.lap("device")
        following = begun()
        for tensor in (given.films, given.labels):  # used by another stream than they are made on
            tensor.record_stream(torch.cuda.current_stream(device))
        yield given

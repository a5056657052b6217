"""Who trains together: this process's rank among them, and its device."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rayograph.config import ClusterOptions
from rayograph.errors import UserError

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)  # of a collective: a worker that is silent longer is lost


@dataclass(frozen=True)
class World:
    """This process's place among `size` workers."""

    rank: int
    size: int
    device: torch.device

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all workers, in place; the same on each of them."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def same_buffers(self, model: nn.Module) -> None:
        """Give every worker rank 0's buffers: batch norm's statistics drift apart in a step."""
        if self.size > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def begin_sum(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Begin to sum a tensor over all workers, in place; the result waits for the sum."""
        if self.size == 1:
            return lambda: tensor
        work = dist.all_reduce(tensor, async_op=True)

        def result() -> Tensor:
            work.wait()
            return tensor

        return result

    def agree(self, act: Callable[[], T], everyone: bool = False) -> T:
        """Let rank 0 act, or everyone; one worker's `UserError` becomes that of all of them.

        Returns what rank 0's call returned.
        """
        problem: str | None = None
        result: T | None = None
        if everyone or self.rank == 0:
            try:
                result = act()
            except UserError as error:
                problem = str(error)
        problems, results = [problem], [result]
        if self.size > 1:
            told: list[Any] = [None] * self.size
            dist.all_gather_object(told, (problem, result if self.rank == 0 else None))
            problems, results = [found for found, _ in told], [found for _, found in told]
        for found in filter(None, problems):
            raise UserError(found)
        return cast(T, results[0])

    def barrier(self) -> None:
        """Wait for all workers."""
        if self.size > 1:
            dist.barrier()


def current(options: ClusterOptions) -> World:
    """The world that Ray Train, torchrun, or nobody has set up around this process."""
    device = torch.device("cpu")
    if options.gpus_per_worker:
        device = torch.device("cuda", torch.cuda.current_device())
    if not dist.is_initialized():
        return World(0, 1, device)
    return World(dist.get_rank(), dist.get_world_size(), device)


@contextmanager
def torchrun(options: ClusterOptions) -> Iterator[World]:
    """Join the process group that torchrun describes, or stand alone where there is none."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield current(options)
        return
    if options.gpus_per_worker:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if options.gpus_per_worker else "gloo", timeout=TIMEOUT)
    try:
        yield current(options)
    finally:
        dist.destroy_process_group()

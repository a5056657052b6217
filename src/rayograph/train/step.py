"""One optimizer step over a global batch: forward, backward, update, or why there was none."""

import math
import weakref
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from rayograph.config import RunConfig
from rayograph.data import transforms
from rayograph.models.build import head
from rayograph.train import optim
from rayograph.train.clock import Clock
from rayograph.train.device import DeviceBatch
from rayograph.train.feed import Feed
from rayograph.train.losses import Loss
from rayograph.train.reduction import StepFlags, StepReduction, StepSums
from rayograph.train.state import State
from rayograph.train.world import World

DROPOUT = 1  # sets the stream of dropout's seeds apart from the others


@dataclass(frozen=True)
class StepResult:
    """What all workers summed; `fault` says why the weights did not change, if they did not."""

    sums: StepSums
    fault: str | None


class Stepper:
    """A model under DDP, trained step by step; `clock` says where a step's time goes."""

    def __init__(
        self,
        config: RunConfig,
        world: World,
        state: State,
        feed: Feed,
        loss: Loss,
    ) -> None:
        self.config = config
        self.world = world
        self.state = state
        self.transform = feed.transform
        self.shape = feed.shape
        self.loss = loss
        self.clock = Clock()
        self.ddp: nn.Module = feed.network
        if world.size > 1:
            self.ddp = DistributedDataParallel(feed.network, gradient_as_bucket_view=True)
            # Weak, since Python cannot see what DDP's C++ holds: as a circle it would never go, nor
            # would gloo's threads, which may then abort a process that ends.
            self.ddp.register_comm_hook(weakref.proxy(self), _sum_gradients)

    def warm_up(self) -> None:
        """Two backward passes whose gradients and statistics are thrown away.

        DDP rebuilds its buckets after the first one, and gloo's sums depend on an element's place
        in its bucket: without this, three workers are not equal to the bit after a resume.
        """
        buffers = self._buffers()
        self.train_mode()
        for _ in range(2 if self.world.size > 1 else 0):
            self.ddp(torch.zeros(2, *self.shape, device=self.world.device)).sum().backward()
            self.state.optimizer.zero_grad()
        self._restore_buffers(buffers)

    def __call__(self, given: DeviceBatch, flags: StepFlags) -> StepResult:
        """One optimizer step, or none where its loss is not finite; all workers return the same."""
        train, state, batch = self.config.train, self.state, given.batch
        position = (train.seed, state.epoch, state.step)
        draws = transforms.draw(batch.size, self.transform.draws, *position)[batch.share]
        torch.manual_seed(transforms.stream_seed(*position, self.world.rank, DROPOUT))
        buffers = self._buffers() if train.on_nan != "stop" else {}
        sums = self._backward(given, draws, flags)
        fault = self._fault(sums)
        if fault is None:
            optim.clip(state.model, self.config.optim)
            state.optimizer.step()
        elif train.on_nan == "stop":
            return StepResult(sums, fault)
        else:
            self._restore_buffers(buffers)
        state.optimizer.zero_grad()
        state.schedule.step()
        state.step += 1
        return StepResult(sums, fault)

    def train_mode(self) -> None:
        """Dropout and batch statistics as in training; a frozen backbone stays as it is."""
        self.ddp.train()
        if self.config.model.freeze_backbone:
            self.ddp.eval()
            head(self.state.model, self.config.model.name).train()

    def autocast(self) -> torch.autocast:
        """The context of a training step's forward pass, in `train.precision`."""
        on = self.config.train.precision == "bf16"  # `auto` has been settled
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=on)

    def judging(self) -> torch.autocast:
        """That of validation: as in training on GPUs; on CPUs float32, as evaluate and predict."""
        on = self.config.train.precision == "bf16" and self.world.device.type == "cuda"
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=on)

    def _backward(self, given: DeviceBatch, draws: Tensor, flags: StepFlags) -> StepSums:
        """Forward and backward passes; the loss is summed over the workers beside the last one."""
        batch = given.batch
        reduction = StepReduction(self.world, flags)
        reduction.count(batch.rows)
        if not len(batch.rows):
            return self._idle(reduction)
        micro = self.config.train.micro_batch or len(batch.rows)
        starts = range(0, len(batch.rows), micro)
        for start in starts:
            part = slice(start, start + micro)
            last = start == starts[-1]
            quiet = isinstance(self.ddp, DistributedDataParallel) and not last
            with self.ddp.no_sync() if quiet else nullcontext():  # type: ignore[operator]
                labels = given.labels[part]
                logits = self._forward(given.inputs[part], draws[part])
                losses, weighted = self.loss(logits, labels)
                reduction.add(losses.detach(), self.loss.correct(logits.detach(), labels))
                if last:
                    reduction.begin()
                # DDP averages over workers; times their number, over the batch: the exact mean
                (weighted.sum() * (self.world.size / batch.size)).backward()
        return self._summed(reduction)

    def _forward(self, samples: Tensor, draws: Tensor) -> Tensor:
        inputs = self.transform.train(samples, draws.to(self.world.device))
        with self.autocast():
            logits: Tensor = self.ddp(inputs).float()
        return logits

    def _idle(self, reduction: StepReduction) -> StepSums:
        """Take part in a step whose batch has no sample for this worker: a gradient of zero."""
        norm = self.config.model.norm
        if norm != "sync":  # whose statistics are collective, and count no sample
            self.ddp.eval()
        shape = (0 if norm == "sync" else 1, *self.shape)
        loss = 0 * self.ddp(torch.zeros(shape, device=self.world.device)).sum()
        reduction.begin()
        loss.backward()
        sums = self._summed(reduction)
        self.train_mode()
        return sums

    def _summed(self, reduction: StepReduction) -> StepSums:
        sums = reduction.result()
        if self.world.size > 1:
            self.clock.lap("workers")
        return sums

    def _fault(self, sums: StepSums) -> str | None:
        """Why the weights must not change, if they must not."""
        if not math.isfinite(sums.loss):
            return f"the loss is {sums.loss}"
        if self.config.train.on_nan == "stop":
            return None
        gradients = (p.grad for p in self.state.model.parameters() if p.grad is not None)
        norm = torch.nn.utils.get_total_norm(gradients)
        return None if norm.isfinite() else f"the gradient's norm is {norm.item()}"

    def _buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self.state.model.named_buffers()}

    def _restore_buffers(self, buffers: dict[str, Tensor]) -> None:
        for name, buffer in self.state.model.named_buffers():
            buffer.copy_(buffers[name])


def _sum_gradients(
    stepper: Stepper,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    """What DDP does by itself; and the last bucket tells that this worker's work is done."""
    if bucket.is_last():
        stepper.clock.lap("compute")
    group = dist.group.WORLD
    assert group is not None
    return allreduce_hook(group, bucket)

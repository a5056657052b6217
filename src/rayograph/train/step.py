"""One optimizer step over a global batch: forward, backward, update, or why there was none."""

import logging
import math
import weakref
from contextlib import nullcontext

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from rayograph.config import RunConfig
from rayograph.data import augment
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged
from rayograph.models.build import head
from rayograph.train import optim
from rayograph.train.clock import Clock
from rayograph.train.device import Given
from rayograph.train.folder import RunFolder
from rayograph.train.snapshots import Snapshots
from rayograph.train.state import State
from rayograph.train.tally import Tally, Told, Wishes
from rayograph.train.world import World

MOST_SKIPPED = 100  # steps of an epoch; and never more than half of them
CURES = "a smaller optim.lr, a longer optim.warmup_epochs or an optim.clip_norm may help"
DROPOUT = 1  # sets the stream of dropout's seeds apart from the others
log = logging.getLogger("rayograph.train")


class Stepper:
    """A model under DDP, trained step by step; `clock` says where a step's time goes."""

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        world: World,
        state: State,
        steps: int,
        snapshots: Snapshots,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.world = world
        self.state = state
        self.steps = steps
        self.snapshots = snapshots
        self.clock = Clock()
        self.ddp: nn.Module = state.model
        if world.size > 1:
            self.ddp = DistributedDataParallel(state.model, gradient_as_bucket_view=True)
            # Weak, since Python cannot see what DDP's C++ holds: as a circle it would never go, nor
            # would gloo's threads, which may then abort a process that ends.
            self.ddp.register_comm_hook(weakref.proxy(self), _sum_gradients)
        self.class_weights = self._class_weights()

    def warm_up(self) -> None:
        """Two backward passes whose gradients and statistics are thrown away.

        DDP rebuilds its buckets after the first one, and gloo's sums depend on an element's place
        in its bucket: without this, three workers are not equal to the bit after a resume.
        """
        size, device = self.config.data.image_size, self.world.device
        buffers = self._buffers()
        self.train_mode()
        for _ in range(2 if self.world.size > 1 else 0):
            self.ddp(torch.zeros(2, 1, size, size, device=device)).sum().backward()
            self.state.optimizer.zero_grad()
        for name, buffer in self.state.model.named_buffers():
            buffer.copy_(buffers[name])

    def __call__(self, given: Given, wishes: Wishes) -> Told:
        """One optimizer step, or none where its loss is no number; what all workers said."""
        config, state, batch = self.config, self.state, given.batch
        draws = augment.draw(batch.size, config.train.seed, state.epoch, state.step)[batch.share]
        torch.manual_seed(
            augment.stream_seed(
                config.train.seed, state.epoch, state.step, self.world.rank, DROPOUT
            )
        )
        buffers = self._buffers() if config.train.on_nan != "stop" else {}
        told = self._backward(given, draws, wishes)
        self._count(told, buffers)
        return told

    def train_mode(self) -> None:
        """Dropout and batch statistics as in training; a frozen backbone stays as it is."""
        self.ddp.train()
        if self.config.model.freeze_backbone:
            self.ddp.eval()
            head(self.state.model).train()

    def autocast(self) -> torch.autocast:
        """The context of a forward pass: bfloat16 where `train.precision` and the device allow."""
        wanted, device = self.config.train.precision, self.world.device.type
        able = device == "cuda" and torch.cuda.is_bf16_supported()
        on = wanted == "bf16" or (wanted == "auto" and able)
        return torch.autocast(device, torch.bfloat16, enabled=on)

    def _backward(self, given: Given, draws: Tensor, wishes: Wishes) -> Told:
        """Forward and backward passes; the loss is summed over the workers beside the last one."""
        batch = given.batch
        tally = Tally(self.world, wishes)
        tally.seen(batch.rows)
        if not len(batch.rows):
            return self._idle(tally)
        micro = self.config.train.micro_batch or len(batch.rows)
        starts = range(0, len(batch.rows), micro)
        for start in starts:
            part = slice(start, start + micro)
            last = start == starts[-1]
            quiet = isinstance(self.ddp, DistributedDataParallel) and not last
            with self.ddp.no_sync() if quiet else nullcontext():  # type: ignore[operator]
                losses, correct = self._forward(given, draws, part)
                tally.add(losses.detach(), correct)
                if last:
                    tally.begin()
                # DDP averages over workers; times their number, over the batch: the exact mean
                loss = self._weighted(losses, given.labels[part]).sum()
                (loss * (self.world.size / batch.size)).backward()
        return self._told(tally)

    def _idle(self, tally: Tally) -> Told:
        """Take part in a step whose batch has no film for this worker: a gradient of zero."""
        size, norm = self.config.data.image_size, self.config.model.norm
        if norm != "sync":  # whose statistics are collective, and count no film
            self.ddp.eval()
        films = torch.zeros(0 if norm == "sync" else 1, 1, size, size, device=self.world.device)
        loss = 0 * self.ddp(films).sum()
        tally.begin()
        loss.backward()
        told = self._told(tally)
        self.train_mode()
        return told

    def _told(self, tally: Tally) -> Told:
        told = tally.told()
        if self.world.size > 1:
            self.clock.lap("workers")
        return told

    def _count(self, told: Told, buffers: dict[str, Tensor]) -> None:
        """Update the weights and the epoch's sums; or say what becomes of a loss that is none."""
        state, policy = self.state, self.config.train.on_nan
        where = f"epoch {state.epoch + 1}, step {state.step + 1}"
        fault = None if math.isfinite(told.loss) else f"the loss is {told.loss}"
        if fault is None and policy != "stop":
            norm = torch.nn.utils.get_total_norm(
                p.grad for p in state.model.parameters() if p.grad is not None
            )
            fault = None if norm.isfinite() else f"the gradient's norm is {norm.item()}"
        if fault is not None and policy == "stop":
            raise Diverged(f"{where}: {fault}; {CURES}")
        state.step += 1
        if fault is None:
            self._update()
            state.sums.loss += told.loss
            state.sums.correct += told.correct
            state.sums.films += told.films
            state.sums.digest = (state.sums.digest + told.digest) % 2**32
            return
        state.sums.skipped += 1
        log.warning("%s: %s; train.on_nan=%s", where, fault, policy)
        if state.sums.skipped > min(MOST_SKIPPED, self.steps // 2):
            many = f"{state.sums.skipped} of this epoch's {self.steps} steps were skipped"
            raise Diverged(f"{where}: {fault}, and {many}; {CURES}")
        state.optimizer.zero_grad()
        state.schedule.step()
        for name, buffer in state.model.named_buffers():
            buffer.copy_(buffers[name])
        if policy == "restore":
            self._restore(where)

    def _restore(self, where: str) -> None:
        """Take the weights and moments of the newest checkpoint, and go on with the next step."""
        if self.world.rank == 0:
            self.snapshots.flush()
        folder = RunFolder.of(self.config)
        newest = self.world.agree(lambda: folder.resume_from(folder.latest()))
        if newest is None:
            raise Diverged(f"{where}: no checkpoint yet to restore; {CURES}")
        self.world.agree(lambda: self.state.load_weights(newest, self.steps), everyone=True)

    def _buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self.state.model.named_buffers()}

    def _update(self) -> None:
        optim.clip(self.state.model, self.config.optim)
        self.state.optimizer.step()
        self.state.optimizer.zero_grad()
        self.state.schedule.step()

    def _forward(self, given: Given, draws: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        manifest, labels = self.dataset.manifest, given.labels[part]
        pictures = augment.augmented(
            given.films[part],
            draws[part].to(self.world.device),
            self.config.augment,
            self.config.data.image_size,
            manifest.mean,
            manifest.std,
        )
        with self.autocast():
            logits = self.ddp(pictures).float()
        losses = F.cross_entropy(logits, labels, reduction="none")
        return losses, (logits.detach().argmax(1) == labels).to(losses.dtype)

    def _weighted(self, losses: Tensor, labels: Tensor) -> Tensor:
        return losses if self.class_weights is None else losses * self.class_weights[labels]

    def _class_weights(self) -> Tensor | None:
        if self.config.train.class_weights == "none":
            return None
        split = self.dataset.split("train")
        counts = torch.tensor([split.labels[name] for name in self.dataset.manifest.classes])
        return (counts.sum() / (len(counts) * counts)).to(self.world.device)


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

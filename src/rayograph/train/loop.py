"""The training loop: load, step, validate, report. It knows neither Ray nor torchrun."""

import logging
import math
import time
from contextlib import closing, nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from rayograph.config import Config
from rayograph.data import augment, order, stream
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged, Stopped
from rayograph.evaluate import metrics, predict
from rayograph.models.build import build, head
from rayograph.models.card import ModelCard
from rayograph.train import history, optim
from rayograph.train.clock import PARTS, Clock
from rayograph.train.device import Given, ahead
from rayograph.train.folder import RunFolder
from rayograph.train.reporter import Reporter
from rayograph.train.snapshots import Snapshots
from rayograph.train.state import State, Sums
from rayograph.train.tally import Tally, Told, Wishes
from rayograph.train.watchdog import Watchdog
from rayograph.train.world import World

Row = dict[str, Any]
MOST_SKIPPED = 100  # steps of an epoch; and never more than half of them
CURES = "a smaller optim.lr, a longer optim.warmup_epochs or an optim.clip_norm may help"
log = logging.getLogger("rayograph.train")
DROPOUT = 1  # sets the stream of dropout's seeds apart from the others


def start(config: Config, dataset: Dataset, reporter: Reporter, world: World) -> "Trainer":
    """A trainer at the reporter's latest checkpoint, or at `run.start_from`, or at the beginning.

    A `UserError` (absent weights, a checkpoint of another dataset) is raised on every worker alike.
    """
    trainer = Trainer(config, dataset, world)
    latest = world.agree(reporter.latest)
    if latest or config.run.start_from:
        world.agree(lambda: trainer.load(latest), everyone=True)
    trainer.warm_up()
    return trainer


class Trainer:
    """A model under DDP, and one epoch of training and validating it."""

    def __init__(self, config: Config, dataset: Dataset, world: World) -> None:
        torch.set_num_threads(config.cluster.cpus_per_worker)  # a thread count changes the bits
        torch.manual_seed(config.train.seed)
        self.config = config
        self.dataset = dataset
        self.world = world
        self.split = dataset.split("train")
        self.has_val = "val" in dataset.manifest.splits
        model = self._build().to(world.device)
        model = model.to(memory_format=torch.channels_last)  # faster on CPUs, too: 1.2 to 2 times
        steps = self.plan(0).steps
        optimizer, schedule = optim.build(model, config.optim, steps, config.train.epochs)
        self.state = State(model, optimizer, schedule, dataset.manifest.fingerprint, config)
        self.ddp: nn.Module = model
        if world.size > 1:
            self.ddp = DistributedDataParallel(model, gradient_as_bucket_view=True)
            self.ddp.register_comm_hook(dist.group.WORLD, self._sum_gradients)
        self.clock = Clock()
        self.snapshots = Snapshots(RunFolder.of(config), config.checkpoint)
        self.watchdog = Watchdog(config.cluster.hang_s)
        self.class_weights = self._class_weights()

    def load(self, latest: str | None) -> None:
        """Go on from a checkpoint of this run, or where there is none from another run's."""
        steps = self.plan(0).steps
        if latest is not None:
            self.state.load(latest, steps)
        elif self.config.run.start_from:
            self.state.load(self.config.run.start_from, steps)
            for row in self.state.history:
                row["checkpoint"] = None  # it lies in the other run's folder

    def fit(self, reporter: Reporter) -> None:
        """Train and report epoch after epoch until the run is finished.

        Raises `Stopped` on every worker where one is asked to stop, and `Diverged`.
        """
        with self.watchdog.watching():
            while not history.finished(self.state.history, self.config.train):
                row, card = self.epoch(reporter)
                saved = None
                if card is not None and self.world.rank == 0:
                    saved = self.state.saved(card)
                self.watchdog.alive()
                reporter.report(row, saved)
            if self.world.rank == 0:
                self.snapshots.clear()

    def plan(self, epoch: int) -> order.Plan:
        """The order of an epoch."""
        train = self.config.train
        return order.plan(
            self.split.batch_rows,
            train.batch_size,
            self.dataset.manifest.fingerprint,
            train.seed,
            epoch,
        )

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch's first step."""
        steps, options = self.plan(0).steps, self.config.optim
        part = optim.factor(steps * epoch, steps, self.config.train.epochs, options)
        return options.lr * part

    def warm_up(self) -> None:
        """Two backward passes whose gradients and statistics are thrown away.

        DDP rebuilds its buckets after the first one, and gloo's sums depend on an element's place
        in its bucket: without this, three workers are not equal to the bit after a resume.
        """
        size, device = self.config.data.image_size, self.world.device
        buffers = self._buffers()
        self._train_mode()
        for _ in range(2 if self.world.size > 1 else 0):
            self.ddp(torch.zeros(2, 1, size, size, device=device)).sum().backward()
            self.state.optimizer.zero_grad()
        for name, buffer in self.state.model.named_buffers():
            buffer.copy_(buffers[name])

    def epoch(self, reporter: Reporter) -> tuple[Row, ModelCard | None]:
        """Train and validate one epoch; its row, and its checkpoint's card where one is due."""
        began = time.perf_counter()
        number = self.state.epoch + 1
        row: Row = {"epoch": number, "lr": self.rate(self.state.epoch)}
        row |= self._train_epoch(reporter)
        threshold = None
        if self.has_val:
            found, threshold = self._validate()
            row |= found
        row["seconds"] = round(time.perf_counter() - began, 3)
        self.state.epoch, self.state.step, self.state.sums = number, 0, Sums()
        self.state.history.append(row)
        last = history.finished(self.state.history, self.config.train)
        due = last or number % self.config.checkpoint.epochs == 0
        row["checkpoint"] = reporter.name(number) if due else None
        return row, self._card(row, threshold) if due else None

    def _train_epoch(self, reporter: Reporter) -> Row:
        plan, state = self.plan(self.state.epoch), self.state
        before = state.sums.films
        self._train_mode()
        self.clock = Clock()
        batches = stream.training(
            self.dataset, "train", plan, self.world.rank, self.world.size, state.step,
            threads=self.config.cluster.cpus_per_worker, pin=self.world.device.type == "cuda",
        )  # fmt: skip
        with closing(batches):  # its threads end with it
            for given in ahead(batches, self.world.device, self.clock):
                save = self._save_due() or reporter.leaving()
                told = self._step(given, Wishes(save, reporter.stopping()))
                self.clock.lap("compute")
                self.watchdog.alive()
                if told.save or told.stop:
                    self._snapshot()
                if told.stop:
                    self.snapshots.flush()
                    raise Stopped
        spent = torch.tensor(list(self.clock.seconds.values()), dtype=torch.float64)
        seconds = self.world.sum(spent.to(self.world.device)).tolist()
        mean = {f"{part}_s": s / self.world.size for part, s in zip(PARTS, seconds, strict=True)}
        sums, trained = state.sums, sum(mean.values())
        return {
            "train_loss": sums.loss / max(sums.films, 1),
            "train_accuracy": sums.correct / max(sums.films, 1),
            "steps": plan.steps,
            "skipped": sums.skipped,
            "films": sums.films,
            "films_digest": sums.digest,
            "films_per_s": round((sums.films - before) / max(trained, 1e-9), 1),
            **mean,
        }

    def _save_due(self) -> bool:
        return self.world.rank == 0 and self.snapshots.due()

    def _snapshot(self) -> None:
        """Save the position inside the epoch; only copying it takes the loop's time."""
        if self.world.rank == 0:
            state = self.state
            row = {"epoch": state.epoch}
            self.snapshots.take(state.saved(self._card(row, None)), state.epoch, state.step)
        self.clock.lap("checkpoint")

    def _step(self, given: Given, wishes: Wishes) -> Told:
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
        self._train_mode()
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
        steps = self.plan(state.epoch).steps
        if state.sums.skipped > min(MOST_SKIPPED, steps // 2):
            many = f"{state.sums.skipped} of this epoch's {steps} steps were skipped"
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
        steps = self.plan(0).steps
        self.world.agree(lambda: self.state.load_weights(newest, steps), everyone=True)

    def _buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self.state.model.named_buffers()}

    def _sum_gradients(
        self,
        group: dist.ProcessGroup,
        bucket: dist.GradBucket,  # type: ignore[name-defined]
    ) -> torch.futures.Future[Tensor]:
        """What DDP does by itself; and the last bucket tells that this worker's work is done."""
        if bucket.is_last():
            self.clock.lap("compute")
        return allreduce_hook(group, bucket)

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
        with self._autocast():
            logits = self.ddp(pictures).float()
        losses = F.cross_entropy(logits, labels, reduction="none")
        return losses, (logits.detach().argmax(1) == labels).to(losses.dtype)

    def _weighted(self, losses: Tensor, labels: Tensor) -> Tensor:
        return losses if self.class_weights is None else losses * self.class_weights[labels]

    def _validate(self) -> tuple[Row, float | None]:
        """The metrics of the validation films, and the threshold that they suggest."""
        self.world.same_buffers(self.state.model)
        with self._autocast():
            own = predict.logits(
                self.state.model, self.dataset, "val", self.config.data.image_size,
                self.world.device, self.world.rank, self.world.size, self.watchdog.alive,
            )  # fmt: skip
        wire = self.world.device
        values = self.world.sum(torch.from_numpy(own.values).to(wire)).cpu().numpy()
        labels = self.world.sum(torch.from_numpy(own.labels).to(wire)).cpu().numpy()
        seen = self.world.sum(torch.from_numpy(own.seen).to(wire)).cpu().numpy()
        assert (seen == 1).all(), "a validation film was seen twice, or not at all"
        try:
            found = metrics.quick(labels, values.astype(np.float64))
        except ValueError as error:
            raise Diverged(f"epoch {self.state.epoch + 1}, validation: {error}") from None
        threshold = metrics.youden_threshold(labels, values) if values.shape[1] == 2 else None
        return {f"val_{k}": history.plain(v) for k, v in found.items()}, threshold

    def _build(self) -> nn.Module:
        built: list[nn.Module] = []
        classes = len(self.dataset.manifest.classes)
        self.world.agree(lambda: built.append(build(self.config.model, classes)), everyone=True)
        return built[0]

    def _card(self, row: Row, threshold: float | None) -> ModelCard:
        manifest = self.dataset.manifest
        figures = {k: row.get(f"val_{k}") for k in ("loss", "accuracy", "auroc")}
        return ModelCard(
            model=self.config.model.model_copy(update={"weights": None}),
            classes=manifest.classes,
            image_size=self.config.data.image_size,
            recipe=manifest.recipe,
            mean=manifest.mean,
            std=manifest.std,
            threshold=threshold,
            dataset=self.dataset.uri,
            fingerprint=manifest.fingerprint,
            run=self.config.run.name,
            epoch=row["epoch"],
            metrics=figures,
        )

    def _class_weights(self) -> Tensor | None:
        if self.config.train.class_weights == "none":
            return None
        counts = torch.tensor([self.split.labels[name] for name in self.dataset.manifest.classes])
        return (counts.sum() / (len(counts) * counts)).to(self.world.device)

    def _train_mode(self) -> None:
        self.ddp.train()
        if self.config.model.freeze_backbone:  # its batch statistics stay as they are, too
            self.ddp.eval()
            head(self.state.model).train()

    def _autocast(self) -> torch.autocast:
        wanted, device = self.config.train.precision, self.world.device.type
        able = device == "cuda" and torch.cuda.is_bf16_supported()
        on = wanted == "bf16" or (wanted == "auto" and able)
        return torch.autocast(device, torch.bfloat16, enabled=on)

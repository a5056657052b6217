"""The training loop: load, train, validate, report. It knows neither Ray nor torchrun."""

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any

import torch
from torch import nn

from rayograph.config import RunConfig
from rayograph.data import order, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform
from rayograph.errors import Diverged, Stopped
from rayograph.models.build import build
from rayograph.runs import history
from rayograph.runs.card import ModelCard
from rayograph.runs.checkpoint import Sums
from rayograph.runs.folder import RunFolder
from rayograph.task import operating
from rayograph.train import device, feed, losses, optim, precision, watching
from rayograph.train.clock import PARTS, Clock
from rayograph.train.device import prefetch
from rayograph.train.reduction import StepFlags
from rayograph.train.reporter import Reporter
from rayograph.train.snapshots import Snapshots
from rayograph.train.state import State
from rayograph.train.step import Stepper, StepResult
from rayograph.train.validation import Validation, validate, watched
from rayograph.train.watchdog import Watchdog
from rayograph.train.world import World

Row = dict[str, Any]
MOST_SKIPPED = 100  # steps of an epoch; and never more than half of them
CURES = "a smaller optim.lr, a longer optim.warmup_epochs or an optim.clip_norm may help"
log = logging.getLogger("rayograph.train")


def start(
    config: RunConfig, folder: RunFolder, dataset: Dataset, reporter: Reporter, world: World
) -> "Trainer":
    """A trainer at the reporter's latest checkpoint, or at `run.start_from`, or at the beginning.

    A `UserError` (absent weights, a checkpoint of another dataset) is raised on every worker alike.
    """
    latest = world.agree(reporter.latest)
    config = precision.settled(config, folder, dataset, world, begun=latest is not None)
    world.agree(lambda: folder.trained_on(f"{world.size} × {device.name(world.device)}"))
    trainer = Trainer(config, folder, dataset, world)
    if latest or config.run.start_from:
        world.agree(lambda: trainer.load(latest), everyone=True)
    trainer.step.warm_up()
    return trainer


class Trainer:
    """A model under DDP, and one epoch of training and validating it."""

    def __init__(
        self, config: RunConfig, folder: RunFolder, dataset: Dataset, world: World
    ) -> None:
        torch.set_num_threads(config.cluster.cpus_per_worker)  # a thread count changes the bits
        torch.manual_seed(config.train.seed)
        self.config = config.settled()
        self.folder = folder
        self.dataset = dataset
        self.world = world
        self.split = dataset.split("train")
        manifest = dataset.manifest
        self.spec = dataset.transform(config.data, config.evaluate)
        self.transform = transforms.build(self.spec, config.augment)
        model = self._build().to(world.device)
        model = model.to(memory_format=torch.channels_last)  # faster on CPUs, too: 1.2 to 2 times
        self.steps = self.plan(0).steps  # of every epoch
        optimizer, schedule = optim.build(model, config, self.steps)
        self.state = State(model, optimizer, schedule, manifest.fingerprint, config)
        loss = losses.build(manifest.task, config, self.split.labels, world.device)
        self.feed = feed.build(config, folder, dataset, model, self.transform, world)
        self.step = Stepper(config, world, self.state, self.feed, loss)
        self.snapshots = Snapshots(folder, config.checkpoint)
        self.watchdog = Watchdog(config.cluster.hang_s)

    def load(self, latest: str | None) -> None:
        """Go on from a checkpoint of this run, or where there is none from another run's."""
        if latest is not None:
            self.state.load(latest, self.steps)
        elif self.config.run.start_from:
            self.state.load(self.config.run.start_from, self.steps)
            for row in self.state.history:
                row["checkpoint"] = None  # it lies in the other run's folder

    def fit(self, reporter: Reporter) -> None:
        """Train and report epoch after epoch until the run is finished.

        Raises `Stopped` on every worker where one is asked to stop, and `Diverged`.
        """
        with self.watchdog.watching():
            with self.step.autocast():
                self.feed.prepare(self.watchdog.alive)
            while not history.finished(self.state.history, self.config.train):
                due, found = self.epoch(reporter)
                saved = None
                watch = self.config.train.watch
                if (due or watch) and self.world.rank == 0:
                    beside = found.unlike.tensors() if found.unlike else None
                    saved = self.state.payload(self._card(self.state.epoch, found), beside)
                    for split in watch:
                        watching.record(
                            self.folder, self.dataset, split, self.state.history[-1], saved
                        )
                self.watchdog.alive()
                reporter.report(self.state.history, saved if due else None)
            if self.world.rank == 0:
                self.snapshots.clear()
                self.feed.clear()

    def plan(self, epoch: int) -> order.Plan:
        """The order of an epoch."""
        train, fingerprint = self.config.train, self.dataset.manifest.fingerprint
        rows = self.split.batch_rows
        return order.plan(rows, train.batch_size, fingerprint, train.seed, epoch)

    def epoch(self, reporter: Reporter) -> tuple[bool, Validation]:
        """Train and validate one epoch; whether a checkpoint is due, and what its card says."""
        began = time.perf_counter()
        number = self.state.epoch + 1
        row: Row = {"epoch": number, "lr": self._rate()}
        row |= self._train_epoch(reporter)
        found = self._validate()
        row |= {f"val_{name}": history.plain(value) for name, value in found.metrics.items()}
        for split in self.config.train.watch:
            seen = self._watch(split, self.transform)
            row |= {f"{split}_{name}": history.plain(value) for name, value in seen.items()}
        row["seconds"] = round(time.perf_counter() - began, 3)
        self.state.epoch, self.state.step, self.state.sums = number, 0, Sums()
        self.state.history.append(row)
        last = history.finished(self.state.history, self.config.train)
        due = last or number % self.config.checkpoint.epochs == 0
        row["checkpoint"] = reporter.name(number) if due else None
        return due, found

    def _rate(self) -> float:
        """The learning rate of the epoch's first step."""
        steps, options = self.steps, self.config.optim
        part = optim.factor(steps * self.state.epoch, steps, self.config.train.epochs, options)
        return options.lr * part

    def _train_epoch(self, reporter: Reporter) -> Row:
        plan, state = self.plan(self.state.epoch), self.state
        before = state.sums.films
        self.step.train_mode()
        clock = self.step.clock = Clock()
        with closing(self.feed.training(plan, state.step)) as batches:  # its threads end with it
            for batch in prefetch(batches, self.world.device, clock):
                save = self._save_due() or reporter.preempted()
                result = self.step(batch, StepFlags(save, reporter.stopping()))
                self._count(result)
                clock.lap("compute")
                self.watchdog.alive()
                if result.sums.save or result.sums.stop:
                    self._snapshot()
                if result.sums.stop:
                    self.snapshots.flush()
                    raise Stopped
        sums, parts = state.sums, self._mean_seconds(clock)
        return {
            "train_loss": sums.loss / max(sums.films, 1),
            "train_accuracy": sums.correct / max(sums.films, 1),
            "steps": plan.steps,
            "skipped": sums.skipped,
            "films": sums.films,
            "films_digest": sums.digest,
            "films_per_s": round((sums.films - before) / max(sum(parts.values()), 1e-9), 1),
            **parts,
            **self.feed.news(),
        }

    def _mean_seconds(self, clock: Clock) -> dict[str, float]:
        """Where the steps' time went, the mean over the workers."""
        spent = torch.tensor(list(clock.seconds.values()), dtype=torch.float64)
        seconds = self.world.sum(spent.to(self.world.device)).tolist()
        return {f"{part}_s": s / self.world.size for part, s in zip(PARTS, seconds, strict=True)}

    def _count(self, result: StepResult) -> None:
        """Take a step into the epoch's sums; or act on one that changed nothing."""
        sums, step = self.state.sums, result.sums
        if result.fault is None:
            sums.loss += step.loss
            sums.correct += step.correct
            sums.films += step.samples
            sums.digest = (sums.digest + step.digest) % 2**32
            return
        policy = self.config.train.on_nan
        number = self.state.step + (policy == "stop")  # which has not counted it as done
        where = f"epoch {self.state.epoch + 1}, step {number}: {result.fault}"
        if policy == "stop":
            raise Diverged(f"{where}; {CURES}")
        sums.skipped += 1
        log.warning("%s; train.on_nan=%s", where, policy)
        if sums.skipped > min(MOST_SKIPPED, self.steps // 2):
            many = f"{sums.skipped} of this epoch's {self.steps} steps were skipped"
            raise Diverged(f"{where}, and {many}; {CURES}")
        if policy == "restore":
            self._restore(where)

    def _restore(self, where: str) -> None:
        """Take the weights and moments of the newest checkpoint, and go on with the next step."""
        if self.world.rank == 0:
            self.snapshots.flush()
        newest = self.world.agree(lambda: self.folder.resume_from(self.folder.latest()))
        if newest is None:
            raise Diverged(f"{where}; no checkpoint yet to restore; {CURES}")
        self.world.agree(lambda: self.state.load_weights(newest, self.steps), everyone=True)

    def _save_due(self) -> bool:
        return self.world.rank == 0 and self.snapshots.due()

    def _snapshot(self) -> None:
        """Save the position inside the epoch; only copying it takes the loop's time."""
        if self.world.rank == 0:
            state = self.state
            card = self._card(state.epoch, Validation({}, None))
            self.snapshots.take(state.payload(card), state.epoch, state.step)
        self.step.clock.lap("checkpoint")

    def _validate(self) -> Validation:
        if "val" not in self.dataset.splits:
            return Validation({}, None)
        stressed = self.transform.stressed() if self.config.train.stress else []
        self.world.same_buffers(self.state.model)
        with self.step.judging():
            return validate(
                self.state.model, self.dataset.task, self.feed, self.world,
                self.watchdog.alive, f"epoch {self.state.epoch + 1}, validation",
                operating.rule(self.config.train.operating_point, "train.operating_point"),
                [partial(self._watch, "val", each) for each in stressed],
            )  # fmt: skip

    def _watch(self, split: str, transform: Transform) -> Mapping[str, float]:
        """Each metric of a split under a transform; what it says is not of the model's card."""
        self.world.same_buffers(self.state.model)
        with self.step.judging():
            return watched(
                self.state.model, self.dataset, split, transform, self.world,
                self.watchdog.alive, f"epoch {self.state.epoch + 1}, {split}",
            )  # fmt: skip

    def _build(self) -> nn.Module:
        built: list[nn.Module] = []
        options, outputs = self.config.model, self.dataset.task.outputs
        self.world.agree(
            lambda: built.append(build(options, self.spec.shape, outputs)), everyone=True
        )
        return built[0]

    def _card(self, epoch: int, found: Validation) -> ModelCard:
        manifest = self.dataset.manifest
        return ModelCard(
            model=self.config.model.model_copy(update={"weights": None}),
            task=manifest.task,
            classes=manifest.classes,
            recipe=manifest.recipe,
            transform=self.spec,
            operating_points=found.operating_points,
            operating_rule=self.config.train.operating_point,
            temperature=found.temperature,
            unlike=found.unlike and found.unlike.limits,
            band=found.band,
            dataset=self.dataset.uri,
            fingerprint=manifest.fingerprint,
            fold=self.dataset.fold,
            run=self.config.run.name,
            epoch=epoch,
            metrics={name: history.plain(value) for name, value in found.metrics.items()},
        )

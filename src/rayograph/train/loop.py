"""The training loop: load, train, validate, report. It knows neither Ray nor torchrun."""

import time
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import nn

from rayograph.config import RunConfig
from rayograph.data import order, stream
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged, Stopped
from rayograph.evaluate import metrics, predict
from rayograph.models.build import build
from rayograph.models.card import ModelCard
from rayograph.train import history, optim
from rayograph.train.clock import PARTS, Clock
from rayograph.train.device import ahead
from rayograph.train.folder import RunFolder
from rayograph.train.reporter import Reporter
from rayograph.train.snapshots import Snapshots
from rayograph.train.state import State, Sums
from rayograph.train.step import Stepper
from rayograph.train.tally import Wishes
from rayograph.train.watchdog import Watchdog
from rayograph.train.world import World

Row = dict[str, Any]


def start(config: RunConfig, dataset: Dataset, reporter: Reporter, world: World) -> "Trainer":
    """A trainer at the reporter's latest checkpoint, or at `run.start_from`, or at the beginning.

    A `UserError` (absent weights, a checkpoint of another dataset) is raised on every worker alike.
    """
    trainer = Trainer(config, dataset, world)
    latest = world.agree(reporter.latest)
    if latest or config.run.start_from:
        world.agree(lambda: trainer.load(latest), everyone=True)
    trainer.step.warm_up()
    return trainer


class Trainer:
    """A model under DDP, and one epoch of training and validating it."""

    def __init__(self, config: RunConfig, dataset: Dataset, world: World) -> None:
        torch.set_num_threads(config.cluster.cpus_per_worker)  # a thread count changes the bits
        torch.manual_seed(config.train.seed)
        self.config = config
        self.dataset = dataset
        self.world = world
        self.split = dataset.split("train")
        self.has_val = "val" in dataset.manifest.splits
        model = self._build().to(world.device)
        model = model.to(memory_format=torch.channels_last)  # faster on CPUs, too: 1.2 to 2 times
        self.steps = self.plan(0).steps  # of every epoch
        optimizer, schedule = optim.build(model, config.optim, self.steps, config.train.epochs)
        self.state = State(model, optimizer, schedule, dataset.manifest.fingerprint, config)
        self.snapshots = Snapshots(RunFolder.of(config), config.checkpoint)
        self.step = Stepper(config, dataset, world, self.state, self.steps, self.snapshots)
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
        steps, options = self.steps, self.config.optim
        part = optim.factor(steps * epoch, steps, self.config.train.epochs, options)
        return options.lr * part

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
        self.step.train_mode()
        clock = self.step.clock = Clock()
        batches = stream.training(
            self.dataset, "train", plan, self.world.rank, self.world.size, state.step,
            threads=self.config.cluster.cpus_per_worker, pin=self.world.device.type == "cuda",
        )  # fmt: skip
        with closing(batches):  # its threads end with it
            for given in ahead(batches, self.world.device, clock):
                save = self._save_due() or reporter.leaving()
                told = self.step(given, Wishes(save, reporter.stopping()))
                clock.lap("compute")
                self.watchdog.alive()
                if told.save or told.stop:
                    self._snapshot()
                if told.stop:
                    self.snapshots.flush()
                    raise Stopped
        spent = torch.tensor(list(clock.seconds.values()), dtype=torch.float64)
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
        self.step.clock.lap("checkpoint")

    def _validate(self) -> tuple[Row, float | None]:
        """The metrics of the validation films, and the threshold that they suggest."""
        self.world.same_buffers(self.state.model)
        with self.step.autocast():
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

"""The ledger of a sweep: a line a trial with its latest state, rewritten whole by the driver.

It is all that the sweep goes on from. Tune's own state is never read, so it may be lost.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from rayograph import storage
from rayograph.config import TrainOptions
from rayograph.errors import Failure
from rayograph.runs import history

SWEEP = "sweep.json"  # what a sweep was begun with; where it lies is a sweep
INTERVAL_S = 1.0

State = Literal["waiting", "running", "finished", "stopped", "failed", "diverged", "lost"]
ENDED: tuple[State, ...] = ("finished", "stopped", "diverged")  # the others are tried again


Run = Annotated[str, Field(pattern=r"^trial_[0-9]{5,}(-[0-9a-f]+)?$")]  # a folder below `trials/`
Epoch = Annotated[int, Field(ge=0, le=history.MOST_EPOCHS)]


class Best(BaseModel, extra="forbid"):
    """A trial's best checkpoint: its run (a folder below `trials/`), parameters and figures."""

    run: Run
    params: dict[str, Any]
    epoch: Epoch
    score: float
    metrics: dict[str, float | None]


class Handover(BaseModel, extra="forbid"):
    """A trial took another one's weights after `epoch`, and perturbed options."""

    epoch: Epoch
    source: str
    params: dict[str, Any]


class Trial(BaseModel, extra="forbid", validate_assignment=True):
    """A line of the ledger; `seconds` are worker-seconds spent, `last` the newest figure."""

    number: Annotated[int, Field(ge=0, lt=2**31)]
    state: State = "waiting"
    params: dict[str, Any]
    run: Run
    epoch: Epoch = 0
    epochs: Epoch
    best: Best | None = None
    last: float | None = None
    seconds: float = 0.0
    retries: int = 0
    message: str = ""
    handovers: list[Handover] = []

    @property
    def name(self) -> str:
        """What people and Tune call it."""
        return name_of(self.number)

    @property
    def seconds_per_epoch(self) -> float | None:
        """Worker-seconds of an epoch so far."""
        return self.seconds / self.epoch if self.epoch else None

    def add(self, row: Mapping[str, Any], run: str, train: TrainOptions, workers: int) -> None:
        """Take in an epoch's row, or once more the last one."""
        if (run, row["epoch"]) != (self.run, self.epoch):
            self.seconds = round(self.seconds + workers * row["seconds"], 3)
        self.run, self.epoch = run, row["epoch"]
        self.last = row.get(train.select)
        self.weigh(row, train)

    def review(self, rows: Iterable[Mapping[str, Any]], train: TrainOptions, workers: int) -> None:
        """Take in the epochs of the present run, of which some may not have been told."""
        for row in rows:
            if row["epoch"] > self.epoch:
                self.add(row, self.run, train, workers)
            else:
                self.weigh(row, train)

    def weigh(self, row: Mapping[str, Any], train: TrainOptions) -> None:
        """Take an epoch of the present run for the best one if it is."""
        score = history.score(row, train.select)
        last = train.final == "last" or not history.validated(row)
        better = self.best is None or last or score > self.best.score
        if row["checkpoint"] and better:
            names = (name for name in row if name.startswith(("train_", "val_")))
            figures = {name: row[name] for name in names}
            self.best = Best(
                run=self.run,
                params=self.params,
                epoch=row["epoch"],
                score=score,
                metrics=figures,
            )


class Ledger:
    """The trials of a sweep by number, kept at `uri`."""

    def __init__(self, uri: str, trials: Iterable[Trial] = ()) -> None:
        self.uri = uri
        self.trials = {trial.number: trial for trial in trials}
        self._written = 0.0
        self._clean = True

    @classmethod
    def at(cls, uri: str) -> "Ledger":
        """The ledger at `uri`, empty where there is none; `Failure` where it is damaged."""
        if not storage.exists(uri):
            return cls(uri)
        found = []
        for number, line in enumerate(storage.read(uri).removesuffix(b"\n").split(b"\n"), start=1):
            try:
                found.append(Trial.model_validate_json(line))
            except ValidationError:
                raise Failure(f"{uri}: line {number} is damaged: {line[:80]!r}") from None
        return cls(uri, found)

    def named(self, name: str) -> Trial:
        """The trial that Tune calls `name`."""
        return self.trials[int(name.rpartition("_")[2])]

    def touch(self) -> None:
        """Say that a trial has changed; written at most once a second, and at the end."""
        self._clean = False

    def save(self, *, now: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """Write the ledger if it has changed, and the last time is a second ago, or `now`."""
        if self._clean or not (now or clock() - self._written >= INTERVAL_S):
            return
        lines = (trial.model_dump_json() for _, trial in sorted(self.trials.items()))
        storage.write(self.uri, "".join(f"{line}\n" for line in lines).encode())
        self._written, self._clean = clock(), True

    def ranked(self) -> list[Trial]:
        """Best first; of equals the earlier; those without a checkpoint last."""
        worst = float("-inf")
        return sorted(
            self.trials.values(), key=lambda t: (-(t.best.score if t.best else worst), t.number)
        )

    def left(self, total: int) -> list[Trial]:
        """The trials to be run, of `total` that are wanted; those that were begun count anyway."""
        waiting = [t for _, t in sorted(self.trials.items()) if t.state not in ENDED]
        return [trial for trial in waiting if trial.epoch or trial.number < total]

    def winner(self) -> Trial | None:
        """The trial with the best checkpoint of all."""
        return next((trial for trial in self.ranked() if trial.best), None)

    def cost(self) -> tuple[float, float]:
        """Worker-seconds spent, and how many it were if no trial had been stopped early."""
        spent = sum(trial.seconds for trial in self.trials.values())
        stopped = [t for t in self.trials.values() if t.state == "stopped"]
        left = sum((t.epochs - t.epoch) * (t.seconds_per_epoch or 0) for t in stopped)
        return spent, spent + left


def name_of(number: int) -> str:
    """A trial's name, of which its run's name is made."""
    return f"trial_{number:05}"

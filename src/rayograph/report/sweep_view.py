"""What a sweep's page shows: its trials, how they rank, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayograph import task
from rayograph.report.view import number


@dataclass(frozen=True)
class TrialView:
    """One trial: its options by dotted key, its epochs, its best one, and what became of it."""

    name: str
    state: str  # waiting | running | finished | stopped | failed | diverged | lost
    params: Mapping[str, Any]  # {"optim.lr": 0.003, "model.norm": "group"}
    history: Sequence[Mapping[str, Any]]  # epochs as in a run's history.jsonl
    epochs: int  # that it was to run
    best_epoch: int | None
    best: float | None  # the selected metric at its best epoch
    worker_seconds: float  # spent: one worker for a second is one
    message: str  # what happened; empty where there is nothing to say
    handovers: Sequence[Mapping[str, Any]]  # PBT: {"epoch": 4, "from": "trial_00001", "params": …}

    @property
    def broken(self) -> bool:
        """Whether it ended by a fault: failed, diverged, or lost."""
        return self.state in ("failed", "diverged", "lost")

    @property
    def value(self) -> float | None:
        """The selected metric at its best epoch; None where it is missing or not finite."""
        return number(self.best)


@dataclass(frozen=True)
class SweepReport:
    """One sweep: its trials, what was searched and how, what it cost, and the winner."""

    name: str
    select: str  # val_auroc, val_loss, …
    searcher: str  # grid | random | optuna
    scheduler: str  # fifo | asha | pbt
    trials: Sequence[TrialView]
    scales: Mapping[str, str]  # searched keys in order → linear | log | choice
    importance: Mapping[str, float]  # by key, shares that sum to 1; empty where undefined
    spent: float  # worker-seconds
    whole: float  # worker-seconds if no trial had been stopped early; an estimate
    winner: str | None  # name of the winning trial
    command: str | None  # repeats the winner as a plain run
    config: Mapping[str, Any]  # the resolved config that all trials share
    folds: Sequence[Mapping[str, Any]] = ()  # {"params": …, "mean": …, "deviation": …, "folds": …}

    @property
    def column(self) -> task.Column:
        """The selected metric."""
        return task.column(self.select)

    @property
    def falling(self) -> bool:
        """Whether a lower value of the selected metric is the better one."""
        return self.column.metric.better == "lower"

    @property
    def won(self) -> TrialView | None:
        """The winning trial."""
        return next((trial for trial in self.trials if trial.name == self.winner), None)

    @property
    def saved(self) -> float:
        """The share of `whole` that stopping early saved, 0 to 1; 0 if no trial was stopped."""
        stopped = any(trial.state == "stopped" for trial in self.trials)
        return max(0.0, 1 - self.spent / self.whole) if stopped and self.whole > 0 else 0.0


def ranked(report: SweepReport) -> list[TrialView]:
    """The winner, then best first, then those without a value, and last what broke."""

    def place(trial: TrialView) -> tuple[bool, bool, bool, float, str]:
        value = trial.value
        signed = 0.0 if value is None else value if report.falling else -value
        return trial.name != report.winner, trial.broken, value is None, signed, trial.name

    return sorted(report.trials, key=place)


def compared(report: SweepReport) -> list[TrialView]:
    """The trials that have a value, best first: those that the winner is the best of."""
    return [trial for trial in ranked(report) if trial.value is not None]

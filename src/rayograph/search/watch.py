"""What people see of a running sweep: a live table on a terminal, a line a change in a log."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rayograph.search.ledger import ENDED, Ledger, Trial
from rayograph.train.lines import clock

LOOK = {"running": "bold", "finished": "green", "stopped": "dim", "waiting": "dim"}
MOST = 40  # rows of the live table; a screen holds no more


class Watch:
    """Shows a sweep's trials as they change."""

    def __init__(self, console: Console, select: str, at_once: int) -> None:
        self._console = console
        self._select = select
        self._at_once = at_once
        self._ledger: Ledger | None = None

    @contextmanager
    def over(self, ledger: Ledger) -> Iterator[None]:
        """Show this ledger while the block runs."""
        self._ledger = ledger
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._screen, console=self._console, refresh_per_second=2):
            yield

    def changed(self, trial: Trial) -> None:
        """Tell of a trial's change, where no table does."""
        if self._console.is_terminal:
            return
        parts = [f"{trial.name}  {trial.state}", f"epoch {trial.epoch}/{trial.epochs}"]
        if trial.last is not None and trial.state == "running" and trial.epoch:
            parts.append(f"{self._select} {shown(trial.last, self._select)}")
        elif trial.best is not None:
            parts.append(f"best {self._select} {shown(trial.best.score, self._select)}")
        parts += [words(trial.params), trial.message]
        self._console.print("  ".join(filter(None, parts)), highlight=False, soft_wrap=True)

    def _screen(self) -> RenderableType:
        assert self._ledger is not None
        trials = self._ledger.ranked()
        order = {"running": 0, "waiting": 2}
        trials.sort(key=lambda trial: order.get(trial.state, 1))
        parts: list[RenderableType] = [table(trials[:MOST], self._select)]
        if len(trials) > MOST:
            parts.append(Text(f"and {len(trials) - MOST} more"))
        parts.append(Text(self._total()))
        return Group(*parts)

    def _total(self) -> str:
        assert self._ledger is not None
        trials = self._ledger.trials.values()
        done = sum(trial.state in ENDED for trial in trials)
        left = sum(seconds_left(t) or 0 for t in trials if t.state not in ENDED)
        return f"{done} of {len(trials)} trials done, at most {clock(left / self._at_once)} left"


def table(trials: list[Trial], select: str) -> Table:
    """The trials as a table, in their order."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("trial", *keys, "epoch", f"best {select}", "state", "left"):
        found.add_column(head, justify="left" if head in ("trial", "state") else "right")
    for trial in trials:
        best = shown(trial.best.score, select) if trial.best else "–"
        left = seconds_left(trial) if trial.state == "running" else None
        state = f"{trial.state}: {trial.message}" if trial.message else trial.state
        found.add_row(
            trial.name,
            *(value(trial.params.get(key)) for key in keys),
            f"{trial.epoch}/{trial.epochs}",
            best,
            Text(state, style=LOOK.get(trial.state, "red")),
            "" if left is None else clock(left),
        )
    return found


def words(params: Mapping[str, Any]) -> str:
    """Parameters as overrides, in short."""
    return " ".join(f"{key}={value(given)}" for key, given in params.items())


def value(given: Any) -> str:
    """A parameter's value in short: four digits of a float."""
    if isinstance(given, float):
        return f"{given:.4g}"
    return given if isinstance(given, str) else json.dumps(given)


def shown(score: float, select: str) -> str:
    """A score as its metric: a loss is scored by its negative."""
    return f"{-score if select.endswith('loss') else score:.4f}"


def seconds_left(trial: Trial) -> float | None:
    """How long a trial still takes at its own pace, in worker-seconds; None before an epoch."""
    each = trial.seconds_per_epoch
    return None if each is None else each * (trial.epochs - trial.epoch)

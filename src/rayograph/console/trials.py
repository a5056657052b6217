"""What people see of a running sweep: a live table on a terminal, a line a change in a log."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rayograph.console.words import clock, setting
from rayograph.search.ledger import ENDED, Ledger, Trial

LOOK = {"running": "bold", "finished": "green", "stopped": "dim", "waiting": "dim"}
MOST = 40  # rows of the live table; a screen holds no more


class Screen:
    """Shows a sweep's trials as they change."""

    def __init__(self, console: Console, select: str, workers: int) -> None:
        self._console = console
        self._select = select
        self._workers = workers
        self._at_once = 1
        self._ledger: Ledger | None = None

    def tell(self, text: str) -> None:
        """Print a line."""
        self._console.print(text)

    @contextmanager
    def over(self, ledger: Ledger, at_once: int) -> Iterator[None]:
        """Show this ledger while the block runs; `at_once` trials find room together."""
        self._ledger, self._at_once = ledger, at_once
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._screen,
            console=self._console,
            refresh_per_second=2,
            transient=True,  # the command's result is the table at its end
        ):
            yield

    def changed(self, trial: Trial) -> None:
        """Tell of a trial's change, where no table does."""
        if self._console.is_terminal:
            return
        parts = [f"{trial.name}  {trial.state}", f"epoch {trial.epoch}/{trial.epochs}"]
        if trial.state == "running" and trial.last is not None:
            parts.append(f"{self._select} {trial.last:.4f}")
        elif trial.best is not None:
            parts.append(f"best {self._select} {best(trial, self._select)}")
        parts += [words(trial.params), trial.message]
        self._console.print("  ".join(filter(None, parts)), highlight=False, soft_wrap=True)

    def _screen(self) -> RenderableType:
        assert self._ledger is not None
        trials = self._ledger.ranked()
        order = {"running": 0, "waiting": 2}
        trials.sort(key=lambda trial: order.get(trial.state, 1))
        parts: list[RenderableType] = [table(trials[:MOST], self._select, self._workers)]
        if len(trials) > MOST:
            parts.append(Text(f"and {len(trials) - MOST} more"))
        parts.append(Text(self._total()))
        return Group(*parts)

    def _total(self) -> str:
        assert self._ledger is not None
        trials = list(self._ledger.trials.values())
        done = sum(trial.state in ENDED for trial in trials)
        paces = [pace for trial in trials if (pace := trial.seconds_per_epoch) is not None]
        text = f"{done} of {len(trials)} trials done"
        if not paces:
            return text
        usual = sum(paces) / len(paces)
        left = sum(
            (t.epochs - t.epoch) * (t.seconds_per_epoch or usual)
            for t in trials
            if t.state not in ENDED
        )
        return f"{text}, at most {clock(left / self._workers / self._at_once)} left"


def table(trials: list[Trial], select: str, workers: int) -> Table:
    """The trials as a table, in their order."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("trial", *keys, "epoch", f"best {select}", "worker-s", "left", "state"):
        found.add_column(head, justify="left" if head in ("trial", "state") else "right")
    for trial in trials:
        pace = trial.seconds_per_epoch if trial.state == "running" else None
        left = "" if pace is None else clock(pace * (trial.epochs - trial.epoch) / workers)
        state = f"{trial.state}: {trial.message}" if trial.message else trial.state
        found.add_row(
            trial.name,
            *(setting(trial.params.get(key)) for key in keys),
            f"{trial.epoch}/{trial.epochs}",
            best(trial, select),
            f"{trial.seconds:.1f}",
            left,
            Text(state, style=LOOK.get(trial.state, "red")),
        )
    return found


def best(trial: Trial, select: str) -> str:
    """A trial's best figure; a dash before its first checkpoint, or where it is undefined."""
    found = trial.best.metrics.get(select) if trial.best else None
    return "–" if found is None else f"{found:.4f}"


def words(params: Mapping[str, Any]) -> str:
    """Parameters as overrides, in short."""
    return " ".join(f"{key}={setting(given)}" for key, given in params.items())

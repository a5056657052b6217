"""What people see of a run: one line an epoch."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from rayograph import task
from rayograph.console.words import clock
from rayograph.train.clock import PARTS

STARVED = 0.25  # of the steps' time
ALWAYS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_auroc", "val_stress")
NAMED = {"val_loss": "val ", "test_loss": "test "}  # where a split's figures begin


class EpochLines:
    """Prints an epoch's row as a line; of a test split that is watched what it has, too."""

    def __init__(self, console: Console, epochs: int, select: str) -> None:
        self._console = console
        self._epochs = epochs
        chosen = task.column(select).metric.name
        watched = (f"test_{name}" for name in ("loss", "accuracy", chosen))
        self._columns = [task.column(name) for name in dict.fromkeys((*ALWAYS, select, *watched))]
        self._seconds: list[float] = []

    def show(self, row: Mapping[str, Any]) -> None:
        """Print one line: the losses and metrics, films/s, time left, what was waited for."""
        self._seconds.append(row["seconds"])
        left = sum(self._seconds) / len(self._seconds) * (self._epochs - row["epoch"])
        parts = [f"epoch {row['epoch']:>{len(str(self._epochs))}}/{self._epochs}"]
        for column in self._columns:
            if row.get(column.name) is not None:
                parts.append(
                    f"{NAMED.get(column.name, '')}{column.metric.title} {_number(column, row)}"
                )
        if films := row.get("features_computed"):
            parts.append(f"features of {films:,.0f} films computed in {clock(row['features_s'])}")
        if row["skipped"]:
            parts.append(f"{row['skipped']} steps skipped")
        parts += [f"{row['films_per_s']:.0f} films/s", f"{clock(left)} left", *waits(row)]
        self._console.print("  ".join(parts), highlight=False, soft_wrap=True)


def _number(column: task.Column, row: Mapping[str, Any]) -> str:
    digits = 4 if column.metric.better == "lower" else 3
    return f"{row[column.name]:.{digits}f}"


def waits(row: Mapping[str, Any]) -> Iterator[str]:
    """What an epoch's steps waited for, and advice where they starved."""
    whole = sum(row[f"{part}_s"] for part in PARTS) or 1.0
    data, workers = row["data_s"] / whole, row["workers_s"] / whole
    yield f"waited {data:.0%} for films" + (f", {workers:.0%} for workers" if workers else "")
    if row["epoch"] == 1:  # which opens connections, and learns how fast things are
        return
    if data > STARVED:
        yield "(starved: pack smaller films, or give each worker more CPUs)"
    elif workers > STARVED:
        yield "(held up: a slow worker or network; larger batches wait less)"

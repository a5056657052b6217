"""What people see of a run: one line an epoch."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from rayograph.train.clock import PARTS

STARVED = 0.25  # of the steps' time


class Lines:
    """Prints an epoch's row as a line."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._epochs = epochs
        self._seconds: list[float] = []

    def show(self, row: Mapping[str, Any]) -> None:
        """Print one line: losses, accuracies, AUROC, films/s, time left."""
        self._seconds.append(row["seconds"])
        left = sum(self._seconds) / len(self._seconds) * (self._epochs - row["epoch"])
        parts = [f"epoch {row['epoch']:>{len(str(self._epochs))}}/{self._epochs}"]
        parts += [f"loss {row['train_loss']:.4f}", f"accuracy {row['train_accuracy']:.3f}"]
        if row.get("val_loss") is not None:
            parts.append(f"val loss {row['val_loss']:.4f}  accuracy {row['val_accuracy']:.3f}")
        if row.get("val_auroc") is not None:
            parts[-1] += f"  AUROC {row['val_auroc']:.3f}"
        if row["skipped"]:
            parts.append(f"{row['skipped']} steps skipped")
        parts += [f"{row['films_per_s']:.0f} films/s", f"{clock(left)} left", *waits(row)]
        self._console.print("  ".join(parts), highlight=False, soft_wrap=True)


def waits(row: Mapping[str, Any]) -> Iterator[str]:
    """What an epoch's steps waited for, and a word of advice where they starved."""
    whole = sum(row[f"{part}_s"] for part in PARTS) or 1.0
    data, workers = row["data_s"] / whole, row["workers_s"] / whole
    yield f"waited {data:.0%} for films" + (f", {workers:.0%} for workers" if workers else "")
    if row["epoch"] == 1:  # which opens connections, and learns how fast things are
        return
    if data > STARVED:
        yield "(starved: pack smaller films, or give each worker more CPUs)"
    elif workers > STARVED:
        yield "(held up: a slow worker or network; larger batches wait less)"


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss`, or `mm:ss`."""
    whole = time.gmtime(max(seconds, 0))
    hours = int(seconds // 3600)
    return (
        f"{hours}:{whole.tm_min:02}:{whole.tm_sec:02}" if hours else time.strftime("%M:%S", whole)
    )

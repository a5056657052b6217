"""What people see while a run trains: one line an epoch, drawn by the driver."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
from rich.console import Console

POLL_S = 0.5


@ray.remote(num_cpus=0)
class Board:
    """Holds the epochs' rows where both the workers and the driver can reach them."""

    def __init__(self) -> None:
        self._rows: dict[int, Mapping[str, Any]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Put up an epoch's row; the epoch of a repeated attempt replaces the first."""
        self._rows[row["epoch"]] = row

    def after(self, epoch: int) -> list[Mapping[str, Any]]:
        """The rows of the epochs after `epoch`."""
        return [row for number, row in sorted(self._rows.items()) if number > epoch]


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
        parts += [f"{row['films_per_s']:.0f} films/s", f"{_clock(left)} left"]
        self._console.print("  ".join(parts), highlight=False, soft_wrap=True)


@contextmanager
def shown(board: Any, lines: Lines) -> Iterator[None]:
    """Print the board's new rows while the block runs, and the last of them at its end."""
    done = threading.Event()
    latest = 0

    def catch_up() -> None:
        nonlocal latest
        for row in ray.get(board.after.remote(latest)):
            lines.show(row)
            latest = row["epoch"]

    def poll() -> None:
        while not done.wait(POLL_S):
            catch_up()

    thread = threading.Thread(target=poll, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        catch_up()


def _clock(seconds: float) -> str:
    whole = time.gmtime(max(seconds, 0))
    hours = int(seconds // 3600)
    return (
        f"{hours}:{whole.tm_min:02}:{whole.tm_sec:02}" if hours else time.strftime("%M:%S", whole)
    )

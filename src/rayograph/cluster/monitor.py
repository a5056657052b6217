"""What the driver knows of a run while it trains: epochs, starts, failures, the wish to stop."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ray
import ray.exceptions

from rayograph.errors import Failure

POLL_S = 0.5
STARTS = 5  # of the workers without a step saved in between: one more would end alike


@ray.remote(num_cpus=0)
class RunMonitor:
    """Holds the epochs' rows where the controller, the workers and the driver can reach them."""

    def __init__(self) -> None:
        self._rows: dict[int, Mapping[str, Any]] = {}
        self._refusal: Exception | None = None
        self._stop = False
        self._listeners = 0
        self._starts = 0
        self._workers = self._most = 0  # of the latest start, and of any since a saved step
        self._position: tuple[int, int] | None = None
        self._progress = 0
        self._failure = ""
        self._saved: str | None = None

    def request_stop(self) -> bool:
        """Ask the workers to save their position and end; False where none has begun yet."""
        self._stop = True
        return self._listeners > 0

    def stop_requested(self) -> bool:
        """Whether the driver asks them to; a worker that listens looks here."""
        self._listeners += 1
        return self._stop

    def register_start(self, workers: int) -> Exception | None:
        """A start of so many workers; why not, where there were too many without a step.

        More workers than before have not ended: there was room for them, and starts count anew.
        """
        self._workers = workers
        if workers > self._most:
            self._most, self._starts = workers, 0
        self._starts += 1
        if self._starts > STARTS:
            lost = "killed, or their machine was lost; checkpoint.every='5 min' saves more often"
            self._refusal = Failure(
                f"the workers ended {STARTS} times without a step saved in between: "
                f"{self._failure or lost}"
            )
        return self._refusal

    def resumed_at(self, position: tuple[int, int], saved: str | None) -> None:
        """Where the workers go on, (epoch, step): beyond the last start's, starts count anew.

        `saved` is the checkpoint there, if there is one.
        """
        self._saved = saved
        self._progress += 1
        if position != self._position:
            self._position, self._starts, self._most = position, 1, self._workers

    def record_failure(self, reason: str) -> None:
        """Say what ended the workers."""
        self._failure = reason

    def record_epoch(self, row: Mapping[str, Any], saved: str | None) -> None:
        """Take an epoch's row and its checkpoint; a repeated attempt's replace the first."""
        self._rows[row["epoch"]] = row
        self._progress += 1
        self._saved = saved or self._saved

    def saved(self) -> str | None:
        """The newest checkpoint that is known to be complete; there may be later snapshots."""
        return self._saved

    def progress(self) -> int:
        """A number that is another one once the workers have begun, or ended an epoch."""
        return self._progress

    def refuse(self, reason: Exception) -> None:
        """Say that what was asked cannot be trained."""
        self._refusal = reason

    def refusal(self) -> Exception | None:
        """Why it cannot be trained, if a worker said so."""
        return self._refusal

    def rows_after(self, epoch: int) -> list[Mapping[str, Any]]:
        """The rows of the epochs after `epoch`."""
        return [row for number, row in sorted(self._rows.items()) if number > epoch]


@contextmanager
def shown(monitor: Any, show: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Show the monitor's new rows while the block runs, and the last of them at its end."""
    done = threading.Event()
    latest = 0

    def catch_up() -> None:
        nonlocal latest
        with suppress(ray.exceptions.RayError):  # its node is gone: the run goes on unseen
            for row in ray.get(monitor.rows_after.remote(latest)):
                show(row)
                latest = row["epoch"]

    def poll() -> None:
        while not done.wait(POLL_S):
            with suppress(Exception):  # the row is shown again, at last below, where it raises
                catch_up()

    thread = threading.Thread(target=poll, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        catch_up()

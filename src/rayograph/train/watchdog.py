"""A worker that no longer moves: its stack is logged and its process ended, so the run recovers."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STATUS = 70  # of the ended process


class Watchdog:
    """Ends this process where `alive` is not called for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()
        self._done = threading.Event()

    def alive(self) -> None:
        """Say that something was done."""
        self._last = time.monotonic()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch within the block."""
        self.alive()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            yield
        finally:
            self._done.set()

    def _watch(self) -> None:
        while not self._done.wait(min(1.0, self._seconds / 10)):
            silent = time.monotonic() - self._last
            if silent > self._seconds:
                print(f"rayograph: no step for {silent:.0f} s (cluster.hang_s); this process ends; "
                      "its threads were here:", file=sys.stderr, flush=True)  # fmt: skip
                faulthandler.dump_traceback(all_threads=True)
                os._exit(STATUS)

"""The request that a run saves its position and ends; `console.signals` makes it of signals."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class StopRequest:
    """Set by the first signal; `raise_again` lets that do what it would have done without us."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.signal: int | None = None

    def raise_again(self) -> None:
        """Raise the signal that asked, now that there is nothing left to save."""
        assert self.signal is not None
        signal.raise_signal(self.signal)


Listen = Callable[[], AbstractContextManager[StopRequest]]  # hears signals within its block


@contextmanager
def deaf() -> Iterator[StopRequest]:
    """For runs that nobody stops by a signal of their own: a trial, a check, a test."""
    yield StopRequest()

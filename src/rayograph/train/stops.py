"""Ctrl-C and SIGTERM: the first asks a run to save its position and end, a second one ends it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Set by the first signal; `again` lets it do what it would have done without us."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.signal: int | None = None

    def again(self) -> None:
        """Raise the signal that asked, now that there is nothing left to save."""
        assert self.signal is not None
        signal.raise_signal(self.signal)


@contextmanager
def listening() -> Iterator[Stop]:
    """Take the first signal within the block as a wish; threads but the main one hear none."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hear(number: int, _frame: Any) -> None:
        stop.signal = number
        stop.asked.set()
        restore()

    for number in SIGNALS:
        signal.signal(number, hear)
    try:
        yield stop
    finally:
        restore()

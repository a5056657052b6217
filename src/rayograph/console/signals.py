"""Ctrl-C and SIGTERM: all handlers of this process.

Outside of a run either ends the command at once. Within one, the first asks it to save its position
and end, and a second one ends it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rayograph.train.stops import StopRequest

SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED, TERMINATED = 130, 143
_terminated = threading.Event()


def install() -> None:
    """Let SIGTERM do what Ctrl-C does: Ray's own waiting hears KeyboardInterrupt only."""

    def terminate(_number: int, _frame: Any) -> None:
        end(signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)


def end(number: int) -> None:
    """End as the signal asks, after what had to be saved has been saved."""
    if number == signal.SIGTERM:
        _terminated.set()
    raise KeyboardInterrupt


def status() -> int:
    """The exit status of a command that a signal has ended."""
    return TERMINATED if _terminated.is_set() else INTERRUPTED


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Take the first signal within the block as a request; the handlers before are put back."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hear(number: int, _frame: Any) -> None:
        request.signal = number
        request.asked.set()
        restore()

    for number in SIGNALS:
        signal.signal(number, hear)
    try:
        yield request
    finally:
        restore()

"""When a sweep ends before all its trials have: its time is over, or somebody asks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune

from rayograph.train.stops import Listen, StopRequest


class SweepStopper(tune.Stopper):
    """Asked by Tune after each result."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end: float | None = None
        self._request: StopRequest | None = None

    @property
    def signal(self) -> int | None:
        """The signal that asked for the end, if one did."""
        return self._request.signal if self._request else None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never ends a single trial."""
        return False

    def stop_all(self) -> bool:
        """Whether the sweep is to end."""
        over = self._end is not None and time.monotonic() >= self._end
        return self.signal is not None or over

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes a copy of all that it is given, which is never read."""
        return {}

    @contextmanager
    def watching(self, listen: Listen) -> Iterator[None]:
        """Take requests, and the time, while the block runs."""
        if self._seconds is not None:
            self._end = time.monotonic() + self._seconds
        with listen() as self._request:
            yield

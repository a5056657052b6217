"""Where an epoch's time goes: waiting for films, moving them, computing, waiting for others."""

import time

PARTS = ("data", "device", "compute", "workers", "checkpoint")


class Clock:
    """Seconds of this process by part; each lap belongs to the part that it is named after.

    `data`: until the next films were there. `device`: handing them to the device. `compute`:
    forward, backward and update. `workers`: from the end of this worker's own backward pass until
    the gradients of all were summed, the network's time and slower workers included. `checkpoint`:
    copying the state for a checkpoint inside the epoch, which is then written beside. On a GPU,
    whose work runs beside Python's, `device` and `workers` are what Python waited for; the rest is
    `compute`.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._mark = time.perf_counter()

    def lap(self, part: str) -> None:
        """Count the time since the last lap for this part."""
        now = time.perf_counter()
        self.seconds[part] += now - self._mark
        self._mark = now

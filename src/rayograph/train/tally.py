"""What workers tell each other in every step: loss, films, and whether to save or to stop.

One small sum that runs beside the backward pass. So every worker knows the global loss before the
weights change, and all act at the same step on what one of them wants.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rayograph.train.world import World

KNUTH = 2654435761  # 2**32 / golden ratio: spreads neighbouring numbers (TAOCP 6.4)


class Wishes(NamedTuple):
    """What this worker wants of all: to save the position after this step, or to stop there."""

    save: bool
    stop: bool


class Told(NamedTuple):
    """Of the global batch: summed loss, correct films, films, their digest; whether to save, stop.

    The digest is a sum over films, whole numbers that float64 holds for two million films a step.
    """

    loss: float
    correct: float
    films: int
    digest: int
    save: bool
    stop: bool


class Tally:
    """One step's."""

    def __init__(self, world: World, wishes: Wishes) -> None:
        self._world = world
        start = [0.0, 0.0, 0.0, 0.0, float(wishes.save), float(wishes.stop)]
        self._own = torch.tensor(start, dtype=torch.float64, device=world.device)
        self._result: Callable[[], Tensor] | None = None

    def add(self, losses: Tensor, correct: Tensor) -> None:
        """Count films: their losses, and 1 for each that was judged right."""
        self._own[:2] += torch.stack([losses.sum(), correct.sum()]).double()

    def seen(self, rows: npt.NDArray[np.int64]) -> None:
        """Count the films of this worker's share, by where they stand in their split."""
        self._own[2] += len(rows)
        self._own[3] += int(((rows + 1) * KNUTH % 2**32).sum())

    def begin(self) -> None:
        """Begin to sum, once the last film is counted and before the last backward pass."""
        self._result = self._world.begin_sum(self._own)

    def told(self) -> Told:
        """The sum over all workers; waits for it."""
        assert self._result is not None, "begin() comes first"
        loss, correct, films, digest, save, stop = self._result().tolist()
        return Told(loss, correct, int(films), int(digest), save > 0, stop > 0)

"""What workers tell each other in every step: loss, samples, and whether to save or to stop.

One small sum that runs beside the backward pass. So every worker knows the global loss before the
weights change, and all act at the same step on what one of them asks for.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rayograph.train.world import World

KNUTH = 2654435761  # 2**32 / golden ratio: spreads neighbouring numbers (TAOCP 6.4)


class StepFlags(NamedTuple):
    """What this worker asks of all: to save the position after this step, or to stop there."""

    save: bool
    stop: bool


class StepSums(NamedTuple):
    """Of the global batch: summed loss, correct samples, samples, their digest; save, stop.

    The digest is a sum over samples, whole numbers that float64 holds for two million a step.
    """

    loss: float
    correct: float
    samples: int
    digest: int
    save: bool
    stop: bool


class StepReduction:
    """The sum of one step."""

    def __init__(self, world: World, flags: StepFlags) -> None:
        self._world = world
        start = [0.0, 0.0, 0.0, 0.0, float(flags.save), float(flags.stop)]
        self._own = torch.tensor(start, dtype=torch.float64, device=world.device)
        self._result: Callable[[], Tensor] | None = None

    def add(self, losses: Tensor, correct: Tensor) -> None:
        """Count samples: their losses, and 1 for each that was judged right."""
        self._own[:2] += torch.stack([losses.sum(), correct.sum()]).double()

    def count(self, rows: npt.NDArray[np.int64]) -> None:
        """Count the samples of this worker's share, by their place in their split."""
        self._own[2] += len(rows)
        self._own[3] += int(((rows + 1) * KNUTH % 2**32).sum())

    def begin(self) -> None:
        """Begin to sum, once the last sample is counted and before the last backward pass."""
        self._result = self._world.begin_sum(self._own)

    def result(self) -> StepSums:
        """The sum over all workers; waits for it."""
        assert self._result is not None, "begin() comes first"
        loss, correct, samples, digest, save, stop = self._result().tolist()
        return StepSums(loss, correct, int(samples), int(digest), save > 0, stop > 0)

"""Which films, in which order, on which worker: a pure function of (dataset, seed, epoch).

An epoch of n films is ceil(n / batch_size) batches whose sizes differ by at most one, and the
global batches are the same for every number of workers. From 64 record batches up there are 64
lanes: the record batches are shuffled in groups of neighbours, which one request can read (8 at
most, and as many as leave a lane 4 groups), laid end to end, and cut into 64 lanes of equal length;
the films of each are shuffled, and a batch takes its films from the lanes in turn. A worker owns
neighbouring lanes, so it reads its own part of the bytes and at most one record batch at each end
of it together with a neighbour. Lanes take their turns in the order of a lattice, so that a batch
is spread nearly evenly over the workers. Smaller datasets have one lane, a plain shuffle of the
films, dealt round robin.

Any step is found without looking at those before it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

LANES = 64
GROUP = 8  # record batches, of some 1 MiB each, that one request may bring
STRIDE = (
    41  # lanes take turns 41 apart (mod 64), near 64 / golden ratio: see the tests for how even
)


@dataclass(frozen=True)
class Plan:
    """One epoch. `sequence[p]` is the stored row of the film in place p, lane after lane."""

    sequence: Ints
    lanes: int
    batch_size: int

    @property
    def films(self) -> int:
        """Films in the epoch."""
        return len(self.sequence)

    @property
    def steps(self) -> int:
        """Global batches in the epoch."""
        return -(-self.films // self.batch_size)

    def batch(self, step: int) -> Ints:
        """The stored rows of the global batch of `step`, in its order."""
        return self._rows(self._positions(step))

    def rows(self, rank: int, world: int, start: int = 0) -> Ints:
        """The stored rows of all films of `rank` from the step `start` on."""
        position = np.arange(self.films * start // self.steps, self.films, dtype=np.int64)
        return self._rows(position[self._owner(position, world) == rank])

    def share(self, step: int, rank: int, world: int) -> Ints:
        """Which films of that batch, as indices into it, belong to `rank` of `world` workers."""
        return np.flatnonzero(self._owner(self._positions(step), world) == rank)

    def _rows(self, position: Ints) -> Ints:
        places: Ints = self._starts[self._lane(position)] + position // self.lanes
        return self.sequence[places]

    def _positions(self, step: int) -> Ints:
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of an epoch of {self.steps} steps")
        bounds = [self.films * s // self.steps for s in (step, step + 1)]
        return np.arange(*bounds, dtype=np.int64)

    def _lane(self, position: Ints) -> Ints:
        return position * STRIDE % self.lanes

    @cached_property
    def _starts(self) -> Ints:
        """First place of each lane; those that the last, incomplete round visits are longer."""
        length, longer = divmod(self.films, self.lanes)
        sizes = np.full(self.lanes, length)
        sizes[self._lane(np.arange(longer))] += 1
        return np.asarray(np.cumsum(sizes) - sizes)

    def _owner(self, position: Ints, world: int) -> Ints:
        """The rank that each position belongs to; more workers than lanes share one in turn."""
        lane = self._lane(position)
        if world <= self.lanes:
            return lane * world // self.lanes
        first = -(-lane * world // self.lanes)
        ranks = -(-(lane + 1) * world // self.lanes) - first
        return first + position // self.lanes % ranks


def group(batches: int) -> int:
    """How many neighbouring record batches of a split stay together."""
    return max(1, min(GROUP, batches // (4 * LANES)))


def plan(batch_rows: Ints, batch_size: int, fingerprint: str, seed: int, epoch: int) -> Plan:
    """The order of one epoch over a split whose record batches have `batch_rows` rows each."""
    films, batches = int(batch_rows.sum()), len(batch_rows)
    keys = _random(films, fingerprint, seed, epoch, stream=0)
    if batches < LANES:
        return Plan(np.argsort(keys, kind="stable"), 1, batch_size)
    groups = np.arange(batches) // group(batches)
    turn = _random(int(groups[-1]) + 1, fingerprint, seed, epoch, stream=1)[groups]
    place = np.empty(batches, np.int64)
    place[np.argsort(turn, kind="stable")] = np.arange(batches)
    sequence = np.lexsort((keys, np.repeat(place, batch_rows)))  # of each record batch shuffled
    return Plan(sequence, LANES, batch_size)


def _random(n: int, fingerprint: str, seed: int, epoch: int, stream: int) -> npt.NDArray[np.uint64]:
    """n words of Philox, whose stream NumPy keeps the same from release to release."""
    key = [int(fingerprint[:16], 16), seed, epoch, stream]
    return np.random.Philox(np.random.SeedSequence(key)).random_raw(n)

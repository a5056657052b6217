"""Batches out of storage: record batches are fetched ahead, samples decoded into a ring of slots.

The thread that asks for batches decides everything (what is fetched next, what is kept, which slot
is filled); others fetch and decode. Nothing runs ahead of it by more than `HELD` record batches and
the ring, so a slow consumer slows the rest. A request brings as many neighbours as there is room
for: with fewer lanes, more. Where each number comes from: docs/performance.md.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from rayograph.data.dataset import Dataset
from rayograph.data.fetch import FETCHES, Content, fetcher
from rayograph.data.inputs import Samples
from rayograph.data.order import LANES, Plan, group
from rayograph.task import Labels

Ints = npt.NDArray[np.int64]
T = TypeVar("T")

IN_LANES = LANES * 3 // 2  # record batches that wait for their turn: of what a request brings, half
HELD = IN_LANES + 2 * FETCHES  # in memory or coming; more only where a step needs them
FARTHEST = 64  # steps that are planned, at most
READY = 1  # step that is filled, beside those in the decoding threads' hands
SPARE = 4  # samples that a slot has room for beyond those of its first step


def together(lanes: int) -> int:
    """How many neighbours, at most, a request brings of each of so many lanes."""
    return max(n for n in (1, 2, 4, 8) if lanes * (n + 1) <= 2 * IN_LANES)


@dataclass(frozen=True)
class Batch:
    """A worker's share of a global batch; near two samples a worker it may be empty.

    `inputs` [n, *shape], valid until the next batch is asked for; `labels` int8 [n, k] (1 present,
    0 absent, -1 uncertain, -2 missing); `rows` int64 [n], each sample's place in its split; `share`
    int64 [n], its index in the global batch of `size` samples.
    """

    inputs: Samples
    labels: Labels
    rows: Ints
    share: Ints
    size: int


@dataclass(frozen=True)
class StoredBatch:
    """A record batch in stored order: inputs, labels and rows as in `Batch`, and the ids."""

    inputs: Samples
    labels: Labels
    rows: Ints
    ids: list[str]


def training(
    dataset: Dataset,
    split: str,
    plan: Plan,
    rank: int,
    world: int,
    start: int = 0,
    *,
    threads: int = 1,
    pin: bool = False,
) -> Generator[Batch, None, None]:
    """The share of `rank` in each global batch of an epoch, from step `start` on.

    `threads` decode; `pin` keeps samples in page-locked memory, for copies to a GPU. Close the
    iterator (`contextlib.closing`) where it is left early: its threads end with it.
    Raises `Failure` where a record batch cannot be read or its hash is wrong.
    """

    def shares() -> Iterator[tuple[Ints, tuple[Ints, int]]]:
        for step in range(start, plan.steps):
            batch = plan.batch(step)
            share = plan.share(step, rank, world)
            yield batch[share], (share, len(batch))

    with ExitStack() as stack:
        own, lanes = plan.rows(rank, world, start), -(-plan.lanes // world)
        reader = _Reader[tuple[Ints, int]](dataset, split, stack, own, lanes, threads, pin)
        for step, filled in reader.read(shares()):
            share, size = step.extra
            yield Batch(filled.inputs, filled.labels, step.rows, share, size)


def stored(
    dataset: Dataset, split: str, rank: int = 0, world: int = 1, *, threads: int = 1
) -> Generator[StoredBatch, None, None]:
    """Every sample of a split once, in stored order, a record batch at a time; never padded.

    `rank` of `world` gets every world-th record batch. `inputs` is valid until the next is asked
    for; otherwise as `training`.
    """
    rows_of = dataset.split(split).batch_rows
    first = np.cumsum(rows_of) - rows_of
    batches = [
        np.arange(first[number], first[number] + rows_of[number])
        for number in range(rank, len(rows_of), world)
    ]
    with ExitStack() as stack:
        own = np.concatenate([np.empty(0, np.int64), *batches])
        reader = _Reader[None](dataset, split, stack, own, 1, threads, pin=False)
        for step, filled in reader.read((rows, None) for rows in batches):
            (content,) = filled.contents.values()
            yield StoredBatch(filled.inputs, filled.labels, step.rows, content.ids())


@dataclass(frozen=True)
class _Step(Generic[T]):
    """Samples that are delivered together: their rows, record batches, and what goes with them."""

    rows: Ints
    numbers: Ints
    extra: T

    def uses(self) -> Counter[int]:
        """How many samples it takes from each record batch, in the order of the first of each."""
        return Counter(self.numbers.tolist())


@dataclass(frozen=True)
class _Filled:
    """A step's samples in their slot."""

    slot: Samples
    inputs: Samples
    labels: Labels
    contents: dict[int, Content]


class _Reader(Generic[T]):
    """Delivers the samples of one step after the other."""

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        stack: ExitStack,
        own: Ints,  # rows of all steps, in any order
        lanes: int,  # that the steps take samples from in turn
        threads: int,
        pin: bool,
    ) -> None:
        rows_of = dataset.split(split).batch_rows
        self._number = np.repeat(np.arange(len(rows_of)), rows_of)  # of each row's record batch
        self._first = np.cumsum(rows_of) - rows_of
        left = np.bincount(self._number[own], minlength=len(rows_of))
        self._left = left.tolist()  # samples of each record batch still to come
        self._group = group(len(rows_of))
        self._most = together(lanes)
        self._alone: frozenset[int] | None = None  # the first step's, lest it wait for more
        self._inputs = dataset.inputs
        self._classes = len(dataset.manifest.classes)
        self._pin = pin
        self._depth = threads + READY
        self._decoders = stack.enter_context(ThreadPoolExecutor(threads, "decode"))
        self._fetch = stack.enter_context(fetcher(dataset, split))  # ends first, and wakes the rest
        self._slots: deque[Samples] = deque()
        self._wanted: deque[int] = deque()  # record batches to ask for, in the order of their need
        self._needed: Counter[int] = Counter()  # steps, planned or in hand, by record batch
        self._idle: OrderedDict[int, None] = OrderedDict()  # held but not needed, oldest use first

    def read(self, wanted: Iterable[tuple[Ints, T]]) -> Iterator[tuple[_Step[T], _Filled]]:
        """Each of the wanted steps, filled; the last one's samples are given up for the next."""
        upcoming = iter(wanted)
        planned: deque[_Step[T]] = deque()
        filling: deque[tuple[_Step[T], Future[_Filled]]] = deque()
        while True:
            self._plan(upcoming, planned)
            while planned and len(filling) < self._depth:
                step = planned.popleft()
                for number in step.uses():
                    self._ask(number)  # whatever is held
                filling.append((step, self._decoders.submit(self._fill, step, self._slot(step))))
                self._plan(upcoming, planned)
            if not filling:
                return
            step, future = filling.popleft()
            filled = future.result()
            yield step, filled
            self._release(step, filled)

    def _plan(self, upcoming: Iterator[tuple[Ints, T]], planned: deque[_Step[T]]) -> None:
        """Look at coming steps, and ask for their record batches as far as there is room."""
        while True:
            while self._wanted and self._fits(self._wanted[0]):
                self._ask(self._wanted.popleft())
            if len(planned) >= (self._depth if self._wanted else FARTHEST):
                return
            found = next(upcoming, None)
            if found is None:
                return
            rows, extra = found
            step = _Step(rows, self._number[rows], extra)
            if self._alone is None:
                self._alone = frozenset(step.uses())
            for number in step.uses():
                if not self._needed[number] and number not in self._fetch:
                    self._wanted.append(number)
                self._needed[number] += 1
                self._idle.pop(number, None)
            planned.append(step)

    def _fits(self, number: int) -> bool:
        """Whether there is room for all that comes with a record batch, in place of idle ones."""
        if not self._needed[number] or number in self._fetch:
            return True  # there is nothing to ask for
        return len(self._fetch) + len(self._neighbours(number)) - len(self._idle) <= HELD

    def _ask(self, number: int) -> None:
        """Fetch what a step needs and nobody asked for, if need be in the place of idle ones."""
        if self._needed[number] and number not in self._fetch:
            numbers = self._neighbours(number)
            while self._idle and len(self._fetch) + len(numbers) > HELD:
                self._fetch.drop(self._idle.popitem(last=False)[0])
            self._fetch.ask(numbers[: max(1, HELD - len(self._fetch))])

    def _neighbours(self, number: int) -> range:
        """The record batches to ask for together: those of its group that are still to come.

        Behind the first one they are cut at multiples of `_most`, so that the lanes, which begin
        anywhere in their groups, do not all ask at the same time.
        """
        assert self._alone is not None
        if number in self._alone:
            return range(number, number + 1)
        end = min(number // size * size + size for size in (self._group, self._most))
        wanted = takewhile(self._left.__getitem__, range(number, min(end, len(self._left))))
        return self._fetch.neighbours(number, sum(1 for _ in wanted))

    def _release(self, step: _Step[T], filled: _Filled) -> None:
        """Take a step's slot back, and drop the record batches that are done with."""
        self._slots.append(filled.slot)
        for number, samples in step.uses().items():
            self._needed[number] -= 1
            self._left[number] -= samples
            if not self._needed[number]:
                del self._needed[number]
                if self._left[number]:
                    self._idle[number] = None
                else:
                    self._fetch.drop(number)

    def _slot(self, step: _Step[T]) -> Samples:
        """A spare slot that holds the step's samples, or a new one with room for a few more."""
        if self._slots and len(self._slots[0]) >= len(step.rows):
            return self._slots.popleft()
        if self._slots:
            self._slots.popleft()
        shape = (len(step.rows) + SPARE, *self._inputs.shape)
        kind = torch.from_numpy(np.empty(0, self._inputs.dtype)).dtype
        return torch.empty(shape, dtype=kind, pin_memory=self._pin).numpy()

    def _fill(self, step: _Step[T], slot: Samples) -> _Filled:
        """Decode a step's samples into a slot, as soon as their record batches are there."""
        contents = {number: self._fetch.result(number) for number in step.uses()}
        labels = np.empty((len(step.rows), self._classes), np.int8)
        places = (step.rows - self._first[step.numbers]).tolist()
        for i, (number, place) in enumerate(zip(step.numbers.tolist(), places, strict=True)):
            content = contents[number]
            content.decode(place, slot[i])
            labels[i] = content.labels[place]
        return _Filled(slot, slot[: len(step.rows)], labels, contents)

"""Batches out of storage: record batches are fetched ahead by threads, verified, and dealt out."""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from rayograph.data.dataset import Dataset, pixels
from rayograph.data.order import Plan

Ints = npt.NDArray[np.int64]
Films = npt.NDArray[np.uint8]
Content = tuple[Films, Ints, list[str]]  # of a record batch: films, labels, ids

FETCHES = 8  # at once; a store answers one connection slower than it answers several
AHEAD = 4  # steps, or record batches in stored order, whose bytes are asked for early


@dataclass(frozen=True)
class Batch:
    """A worker's share of a global batch; near two films a worker it may be empty.

    `films` uint8 [n, size, size]; `labels` int64 [n]; `rows` int64 [n], where each film stands in
    its split; `share` int64 [n], its index in the global batch of `size` films.
    """

    films: Films
    labels: Ints
    rows: Ints
    share: Ints
    size: int


@dataclass(frozen=True)
class Stored:
    """A record batch in stored order: films, labels and rows as in `Batch`, and the films' ids."""

    films: Films
    labels: Ints
    rows: Ints
    ids: list[str]


def training(
    dataset: Dataset, split: str, plan: Plan, rank: int, world: int, start: int = 0
) -> Iterator[Batch]:
    """The share of `rank` in each global batch of an epoch, from step `start` on.

    Raises `Failure` where a record batch cannot be read or its hash is wrong.
    """
    rows_of = dataset.split(split).batch_rows
    first = np.cumsum(rows_of) - rows_of
    left = Counter(dict(enumerate(rows_of.tolist())))

    def shares() -> Iterator[tuple[Ints, Ints, int]]:
        for step in range(start, plan.steps):
            batch = plan.batch(step)
            share = plan.share(step, rank, world)
            yield batch[share], share, len(batch)

    with _fetcher(dataset, split) as fetch:
        upcoming = shares()
        window: deque[tuple[Ints, Ints, int]] = deque()
        while True:
            for rows, share, size in islice(upcoming, AHEAD + 1 - len(window)):
                for number in np.unique(_batch_of(rows, first)):
                    fetch.ask(int(number))
                window.append((rows, share, size))
            if not window:
                return
            rows, share, size = window.popleft()
            films, labels = _gather(fetch, rows, first, dataset.manifest.recipe.size)
            yield Batch(films, labels, rows, share, size)
            left.subtract(_batch_of(rows, first).tolist())
            for number in [n for n in fetch.held() if left[n] == 0]:
                fetch.drop(number)


def stored(dataset: Dataset, split: str, rank: int = 0, world: int = 1) -> Iterator[Stored]:
    """Every film of a split once, in stored order, a record batch at a time; never padded.

    `rank` of `world` gets every world-th record batch.
    """
    rows_of = dataset.split(split).batch_rows
    first = np.cumsum(rows_of) - rows_of
    mine = range(rank, len(rows_of), world)
    with _fetcher(dataset, split) as fetch:
        for i, number in enumerate(mine):
            for later in mine[i : i + AHEAD + 1]:
                fetch.ask(later)
            films, labels, ids = fetch.result(number)
            fetch.drop(number)
            yield Stored(films, labels, np.arange(len(films)) + first[number], ids)


class _Fetcher:
    """Record batches by number: asked for early, held until dropped."""

    def __init__(self, dataset: Dataset, split: str, threads: ThreadPoolExecutor) -> None:
        self._dataset = dataset
        self._batches = dataset.split(split).batches
        self._threads = threads
        self._asked: dict[int, Future[Content]] = {}

    def ask(self, number: int) -> None:
        if number not in self._asked:
            self._asked[number] = self._threads.submit(self._fetch, number)

    def result(self, number: int) -> Content:
        return self._asked[number].result()

    def held(self) -> list[int]:
        return list(self._asked)

    def drop(self, number: int) -> None:
        del self._asked[number]

    def _fetch(self, number: int) -> Content:
        batch = self._dataset.fetch(*self._batches[number])
        labels = batch.column("label").to_numpy().astype(np.int64)
        ids = batch.column("sample_id").to_pylist()
        return pixels(batch, self._dataset.manifest.recipe), labels, ids


@contextmanager
def _fetcher(dataset: Dataset, split: str) -> Iterator[_Fetcher]:
    threads = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
    try:
        yield _Fetcher(dataset, split, threads)
    finally:  # also when the consumer stops early
        threads.shutdown(wait=True, cancel_futures=True)


def _batch_of(rows: Ints, first: Ints) -> Ints:
    return np.searchsorted(first, rows, side="right") - 1


def _gather(fetch: _Fetcher, rows: Ints, first: Ints, size: int) -> tuple[Films, Ints]:
    numbers = _batch_of(rows, first)
    parts = {int(number): fetch.result(int(number)) for number in np.unique(numbers)}
    films = np.empty((len(rows), size, size), dtype=np.uint8)
    labels = np.empty(len(rows), dtype=np.int64)
    for number, (source, source_labels, _) in parts.items():
        here = np.flatnonzero(numbers == number)
        there = rows[here] - first[number]
        films[here] = source[there]
        labels[here] = source_labels[there]
    return films, labels

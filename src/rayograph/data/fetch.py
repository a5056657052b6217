"""Record batches by number: asked for early, read by threads into reused memory, and verified."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from rayograph import storage
from rayograph.data import dataset
from rayograph.data.cache import Cache
from rayograph.data.dataset import Dataset
from rayograph.data.inputs import Decode
from rayograph.data.manifest import RecordBatch, Shard
from rayograph.errors import Failure
from rayograph.task import Labels

FETCHES = 24  # at once: with 25 ms a request and 80 MB/s a connection they bring 10,000 raw films
HEDGES = 4  # second requests at once, for those that stall
LATE = 4.0  # times the usual duration, and at least LATE_S: then a second request is made
LATE_S = 0.5


@dataclass(frozen=True)
class Content:
    """A verified record batch; it and its `decode` look into `memory`, which is used again."""

    memory: bytearray
    labels: Labels
    decode: Decode
    _ids: Any

    def ids(self) -> list[str]:
        """The samples' ids."""
        return list(self._ids.to_pylist())


class Fetcher:
    """Reads the record batches of a split; each is held from `ask` to `drop`.

    `ask` and `drop` are for one thread, `result` for any.
    """

    def __init__(self, data: Dataset, split: str) -> None:
        self._dataset = data
        self._split = split
        self._batches = data.split(split).batches
        self._ranges = storage.Ranges()
        self._threads = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
        self._hedges = ThreadPoolExecutor(HEDGES, thread_name_prefix="hedge")
        self._asked: dict[int, list[Future[Content]]] = {}
        self._began: dict[int, float] = {}
        self._ready: dict[int, Content] = {}
        self._took: deque[float] = deque(maxlen=32)
        self._hedging = threading.Lock()

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, number: int) -> bool:
        return number in self._asked

    def ask(self, number: int) -> None:
        """Begin to read a record batch."""
        self._asked[number] = [self._threads.submit(self._fetch, number)]

    def result(self, number: int) -> Content:
        """A record batch that was asked for; waits, and asks again where the store stalls.

        Raises `Failure` where it cannot be read or its hash is wrong.
        """
        if (ready := self._ready.get(number)) is not None:
            return ready
        futures = self._asked[number]
        while True:
            pending = [future for future in futures if not future.done()]
            wait(pending, timeout=LATE_S / 4, return_when=FIRST_COMPLETED)
            done = [future for future in futures if future.done()]  # wait misses the cancelled
            good = [future for future in done if not future.cancelled() and not future.exception()]
            if good:
                return self._ready.setdefault(number, good[0].result())
            if len(done) == len(futures):
                return futures[0].result()  # raises
            self._hedge(number, futures)

    def drop(self, number: int) -> None:
        """Let a record batch's memory be used again."""
        self._began.pop(number, None)
        self._ready.pop(number, None)
        for future in self._asked.pop(number):
            future.add_done_callback(self._recycle)

    def close(self) -> None:
        """End all reading, and the threads that do it."""
        self._ranges.close()
        for threads in (self._threads, self._hedges):
            threads.shutdown(wait=True, cancel_futures=True)

    def _hedge(self, number: int, futures: list[Future[Content]]) -> None:
        """Make a second request where the first one takes much longer than usual."""
        usual = float(np.median(self._took)) if self._took else 0.0
        late = max(LATE_S, LATE * usual)
        began = self._began.get(number)
        with self._hedging:
            if len(futures) == 1 and began is not None and time.monotonic() - began > late:
                futures.append(self._hedges.submit(self._fetch, number, hedging=True))

    def _recycle(self, future: Future[Content]) -> None:
        if not future.cancelled() and not future.exception():
            self._dataset.memory.append(future.result().memory)

    def _fetch(self, number: int, *, hedging: bool = False) -> Content:
        shard, batch = self._batches[number]
        try:
            memory = self._dataset.memory.pop()
        except IndexError:
            memory = bytearray(self._dataset.largest_batch)
        data = memoryview(memory)[: batch.bytes]
        if self._dataset.cache is None or hedging:  # the first request has the cache's lock
            self._from_store(number, shard, batch, data)
        else:
            self._through(self._dataset.cache, number, shard, batch, data)
        record, labels = self._dataset.parse(data, shard, batch)
        inputs = self._dataset.inputs
        decode = inputs.decoder(record.column(inputs.column), self._dataset.where(shard, batch))
        return Content(memory, labels, decode, record.column("sample_id"))

    def _through(
        self, cache: Cache, number: int, shard: Shard, batch: RecordBatch, into: memoryview
    ) -> None:
        """Fill `into` from the node's cache, else from the store, and verify it."""
        key = f"{self._dataset.manifest.fingerprint[:16]}/{self._split}-{number}"
        self._began[number] = time.monotonic()  # another may stall with the lock
        with cache.alone(key, self._ranges.closed):
            if cache.read(key, into):
                if dataset.digest(into) == batch.xxh3:
                    return
                cache.drop(key)
            self._from_store(number, shard, batch, into)
            cache.put(key, into)

    def _from_store(self, number: int, shard: Shard, batch: RecordBatch, into: memoryview) -> None:
        uri = self._dataset.place(shard)
        for _ in range(2):  # a wrong byte may have come from the way
            began = self._began[number] = time.monotonic()
            self._ranges.read(uri, batch.offset, into)
            self._began.pop(number, None)
            self._took.append(time.monotonic() - began)
            found = dataset.digest(into)
            if found == batch.xxh3:
                return
        raise Failure(
            f"{uri}: record batch at {batch.offset}: xxh3 {found}, expected {batch.xxh3}, twice; "
            "the object is damaged: pack again"
        )


@contextmanager
def fetcher(data: Dataset, split: str) -> Iterator[Fetcher]:
    """A fetcher that is closed at the end of the block, also when its consumer stops early."""
    found = Fetcher(data, split)
    try:
        yield found
    finally:
        found.close()

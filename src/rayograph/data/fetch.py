"""Record batches by number: asked for early, read by threads into reused memory, and verified."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
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


@dataclass(eq=False)
class _Read:
    """Neighbouring record batches that one request brings, or a second one if it stalls."""

    numbers: Sequence[int]
    answers: list[Future[dict[int, Content]]] = field(default_factory=list)
    began: float | None = None  # while the store is asked


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
        self._asked: dict[int, _Read] = {}
        self._ready: dict[int, Content] = {}
        self._took: deque[float] = deque(maxlen=32)  # seconds a record batch
        self._hedging = threading.Lock()

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, number: int) -> bool:
        return number in self._asked

    def neighbours(self, number: int, most: int) -> range:
        """It and the record batches behind it, `most` in all, that one request can bring.

        They lie behind each other in the same object, and none of them is asked for already.
        """
        shard, batch = self._batches[number]
        end = number + 1
        while end < min(number + most, len(self._batches)) and end not in self._asked:
            other, following = self._batches[end]
            if other is not shard or following.offset != batch.offset + batch.bytes:
                break
            batch, end = following, end + 1
        return range(number, end)

    def ask(self, numbers: Sequence[int]) -> None:
        """Begin to read neighbouring record batches, by one request.

        With a cache, which keeps them one by one, by a request each.
        """
        if self._dataset.cache is not None and len(numbers) > 1:
            for number in numbers:
                self.ask([number])
            return
        read = _Read(numbers)
        self._asked.update(dict.fromkeys(numbers, read))
        read.answers.append(self._threads.submit(self._fetch, read))

    def result(self, number: int) -> Content:
        """A record batch that was asked for; waits, and asks again where the store stalls.

        Raises `Failure` where it cannot be read or its hash is wrong.
        """
        if (ready := self._ready.get(number)) is not None:
            return ready
        read = self._asked[number]
        while True:
            pending = [answer for answer in read.answers if not answer.done()]
            wait(pending, timeout=LATE_S / 4, return_when=FIRST_COMPLETED)
            done = [answer for answer in read.answers if answer.done()]  # wait misses the cancelled
            good = [answer for answer in done if not answer.cancelled() and not answer.exception()]
            if good:
                return self._ready.setdefault(number, good[0].result()[number])
            if len(done) == len(read.answers):
                return read.answers[0].result()[number]  # raises
            self._hedge(read)

    def drop(self, number: int) -> None:
        """Let a record batch's memory be used again."""
        self._ready.pop(number, None)
        for answer in self._asked.pop(number).answers:
            answer.add_done_callback(partial(self._recycle, number))

    def close(self) -> None:
        """End all reading, and the threads that do it."""
        self._ranges.close()
        for threads in (self._threads, self._hedges):
            threads.shutdown(wait=True, cancel_futures=True)

    def _hedge(self, read: _Read) -> None:
        """Make a second request where the first one takes much longer than usual."""
        usual = len(read.numbers) * float(np.median(self._took)) if self._took else 0.0
        late = max(LATE_S, LATE * usual)
        began = read.began
        with self._hedging:
            if len(read.answers) == 1 and began is not None and time.monotonic() - began > late:
                read.answers.append(self._hedges.submit(self._fetch, read, hedging=True))

    def _recycle(self, number: int, answer: Future[dict[int, Content]]) -> None:
        if not answer.cancelled() and not answer.exception():
            self._dataset.memory.append(answer.result()[number].memory)

    def _fetch(self, read: _Read, *, hedging: bool = False) -> dict[int, Content]:
        memories = [self._memory() for _ in read.numbers]
        batches = [self._batches[number] for number in read.numbers]
        data = [
            memoryview(memory)[: batch.bytes]
            for memory, (_, batch) in zip(memories, batches, strict=True)
        ]
        if self._dataset.cache is None or hedging:  # the first request has the cache's lock
            self._from_store(read, data)
        else:
            self._through(self._dataset.cache, read, data)
        return {
            number: self._content(memory, own, *batch)
            for number, memory, own, batch in zip(
                read.numbers, memories, data, batches, strict=True
            )
        }

    def _memory(self) -> bytearray:
        try:
            return self._dataset.memory.pop()
        except IndexError:
            return bytearray(self._dataset.largest_batch)

    def _content(
        self, memory: bytearray, data: memoryview, shard: Shard, batch: RecordBatch
    ) -> Content:
        record, labels = self._dataset.parse(data, shard, batch)
        inputs = self._dataset.inputs
        decode = inputs.decoder(record.column(inputs.column), self._dataset.where(shard, batch))
        return Content(memory, labels, decode, record.column("sample_id"))

    def _through(self, cache: Cache, read: _Read, data: Sequence[memoryview]) -> None:
        """Fill `data`, of one record batch, from the node's cache, else from the store."""
        (number,), (into,) = read.numbers, data
        key = f"{self._dataset.manifest.fingerprint[:16]}/{self._split}-{number}"
        read.began = time.monotonic()  # another may stall with the lock
        with cache.alone(key, self._ranges.closed):
            if cache.read(key, into):
                if dataset.digest(into) == self._batches[number][1].xxh3:
                    return
                cache.drop(key)
            self._from_store(read, data)
            cache.put(key, into)

    def _from_store(self, read: _Read, data: Sequence[memoryview]) -> None:
        """Fill `data` with the record batches of a read, and verify each."""
        batches = [self._batches[number][1] for number in read.numbers]
        uri = self._dataset.place(self._batches[read.numbers[0]][0])
        for _ in range(2):  # a wrong byte may have come from the way
            began = read.began = time.monotonic()
            self._ranges.read(uri, batches[0].offset, *data)
            read.began = None
            self._took.append((time.monotonic() - began) / len(batches))
            found = [dataset.digest(own) for own in data]
            wrong = [(b, h) for b, h in zip(batches, found, strict=True) if h != b.xxh3]
            if not wrong:
                return
        batch, digest = wrong[0]
        raise Failure(
            f"{uri}: record batch at {batch.offset}: xxh3 {digest}, expected {batch.xxh3}, twice; "
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

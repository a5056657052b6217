"""Work over many items by workers that live as long as it lasts: what each has loaded, it keeps.

A worker is an actor: with a GPU each and its share of the machine's cores where the cluster has
GPUs, else with one core. Ray's tasks would not do: they may share no GPU that a process keeps
its model on, and nothing that an earlier task has begun goes on beside the next.
"""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import ray
import ray.exceptions

from rayograph import storage
from rayograph.errors import Failure, one_line

T = TypeVar("T")
R = TypeVar("R")

IN_HAND = 2  # items of a worker: on a GPU at once, one decoded while another is computed
WINDOW = 4  # times what is in hand: results that may wait for an earlier one
TRIES = 4  # of an item whose workers are lost
LOOK_S = 5.0  # between two looks at what the cluster has
SILENT_S = 30.0  # without any worker, before that is said
_log = logging.getLogger("rayograph.pool")


class Room(NamedTuple):
    """How many workers the cluster has room for, and what each of them gets."""

    workers: int
    cpus: int
    gpus: int


def room() -> Room:
    """What there is now; a cluster that grows on demand may have more later."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    if with_gpus:
        cpus = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpus)
        return Room(sum(int(node["GPU"]) for node in with_gpus), cpus, 1)
    return Room(max(1, sum(int(node.get("CPU", 0)) for node in nodes)), 1, 0)


def pooled(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Map `function` over items by a pool of workers; results come in order.

    Each worker has `IN_HAND` of them, on a GPU in as many threads. What a lost worker had in hand
    goes to another one. A bounded number waits, in hand or for an earlier one's result.
    """
    return Pool[T, R](what, function).map(items)


class _Worker:
    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def run(self, item: Any) -> Any:
        storage.mark_reachable()  # the driver has reached it
        return self._function(item)


@dataclass(eq=False)
class _Member:
    """A worker as the driver sees it; `node` is empty until it has started."""

    actor: Any
    node: str = ""
    in_hand: set[int] = field(default_factory=set)


class Pool(Generic[T, R]):
    """Workers for one `function`; `used` has the node of each that gave a result.

    With `gather_s` nothing is given out until all workers that there is room for have started, or
    that time has passed since the first one has.
    """

    def __init__(
        self, what: str, function: Callable[[T], R], in_hand: int = IN_HAND, gather_s: float = 0
    ) -> None:
        self._what = what
        self._function = function
        self._in_hand = in_hand
        self._gather_s = gather_s
        self._members: list[_Member] = []
        self._asked: dict[Any, tuple[_Member, int | None]] = {}  # by what is waited for
        self._again: deque[int] = deque()
        self._lost: Counter[int | None] = Counter()
        self._first: float | None = None  # when the first worker had started
        self.used: dict[Any, str] = {}

    def map(self, items: Sequence[T]) -> Iterator[R]:
        """Each item's result, in order; the workers end with the last one."""
        self._items = items
        self._next = 0
        done: dict[int, R] = {}
        function = ray.put(self._function)
        looked, began = -LOOK_S, time.monotonic()
        try:
            for wanted in range(len(items)):
                while wanted not in done:
                    if time.monotonic() - looked >= LOOK_S:
                        looked = time.monotonic()
                        self._grow(function, len(items) - wanted)
                    self._give(wanted)
                    done.update(self._heard())
                    if self._first is None and time.monotonic() - began > SILENT_S:
                        _log.warning("%s: waiting for a worker: no CPU or GPU is free", self._what)
                        began = float("inf")
                yield done.pop(wanted)
        finally:
            for member in self._members:
                ray.kill(member.actor)

    def _grow(self, function: Any, left: int) -> None:
        """Ask for workers: for twice as many as there is room for on a cluster, which may grow."""
        found = room()
        self._workers = min(found.workers, -(-left // self._in_hand))
        more = 2 if os.environ.get("RAY_ADDRESS") and not self._gather_s else 1
        threads = self._in_hand if found.gpus else 1  # two would hinder each other on one core
        make: Any = ray.remote(_Worker).options(
            num_cpus=found.cpus, num_gpus=found.gpus, max_concurrency=threads
        )
        while len(self._members) < min(more * found.workers, -(-left // self._in_hand)):
            member = _Member(make.remote(function))
            self._members.append(member)
            self._asked[member.actor.node.remote()] = (member, None)

    def _give(self, wanted: int) -> None:
        """Fill the hands of the workers that have started, the emptiest first."""
        ready = [member for member in self._members if member.node]
        if self._gather_s and len(ready) < self._workers and not self._late():
            return
        farthest = wanted + WINDOW * self._in_hand * len(ready)
        for depth in range(self._in_hand):
            for member in ready:
                if len(member.in_hand) > depth:
                    continue
                if self._again:
                    number = self._again.popleft()
                elif self._next < min(farthest, len(self._items)):
                    number, self._next = self._next, self._next + 1
                else:
                    return
                member.in_hand.add(number)
                self._asked[member.actor.run.remote(self._items[number])] = (member, number)

    def _late(self) -> bool:
        return self._first is not None and time.monotonic() - self._first > self._gather_s

    def _heard(self) -> dict[int, R]:
        """The results that have come, after a while at most."""
        done: dict[int, R] = {}
        for answer in ray.wait(list(self._asked), num_returns=1, timeout=LOOK_S)[0]:
            if answer not in self._asked:  # of a worker that was just lost
                continue
            member, number = self._asked.pop(answer)
            try:
                value = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                self._drop(member, number, error)
                continue
            if number is None:
                member.node = value
                del self._lost[None]
                self._first = self._first or time.monotonic()
            else:
                member.in_hand.remove(number)
                self.used[member.actor] = member.node
                done[number] = value
        return done

    def _drop(self, member: _Member, number: int | None, error: Exception) -> None:
        """Forget a lost worker; others do what it had in hand."""
        self._lost[number] += 1
        if self._lost[number] == TRIES:
            raise Failure(f"{self._what}: workers were lost: {one_line(error)}") from None
        _log.warning("%s: a worker was lost: %s", self._what, one_line(error))
        self._members.remove(member)
        self._again.extend(sorted(member.in_hand))
        self._asked = {ref: asked for ref, asked in self._asked.items() if asked[0] is not member}

"""How work over many items is done: on a cluster, or one by one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """Maps a function over items, in parallel or not; results come in the items' order."""

    def __call__(self, what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield `function(item)` for each of `items`; `what` names the work for people."""


def one_by_one(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:  # noqa: ARG001
    """The `Mapper` of a single process."""
    return map(function, items)

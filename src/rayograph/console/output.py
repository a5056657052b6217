"""Where a command's words go: the result to standard output, all else to standard error.

Ray's processes print to the driver's standard output, so descriptor 1 is pointed at 2, and the
result is written to a copy of the real one.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from rayograph.pack.mapper import Mapper

T = TypeVar("T")
R = TypeVar("R")

say = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
_result = sys.stdout


def keep_standard_output(redirect: bool) -> None:
    """Keep the real standard output for the result; `redirect` sends all else to standard error."""
    global _result  # noqa: PLW0603
    sys.stdout.flush()
    _result = os.fdopen(os.dup(1), "w", errors="replace")  # a terminal may know few letters
    if redirect:
        os.dup2(2, 1)


def result(text: str) -> None:
    """Print a command's result."""
    print(text, file=_result, flush=True)


def close() -> None:
    """Nothing more comes."""
    _result.close()


def progress(what: str, found: Iterator[R], total: int) -> Iterator[R]:
    """The same results, with a progress bar."""
    yield from track(found, what, total=total, console=say, transient=True, update_period=0.5)


def with_progress(mapper: Mapper) -> Mapper:
    """The same mapper, with a progress bar."""

    def run(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        return progress(what, mapper(what, function, items), len(items))

    return run

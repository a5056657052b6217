"""Originals read ahead of who decodes them, and whether they have changed since."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from rayograph import storage
from rayograph.errors import Failure, UserError
from rayograph.pack.sources import Original

AHEAD = 8  # originals of one task that are read while others are decoded


def ahead(originals: Sequence[Original]) -> Iterator[tuple[Original, bytes | str]]:
    """Each original with its bytes, or why it cannot be read; some are read ahead.

    Where so many in a row cannot be read for another reason than that they are not there, the
    store is away, which is a `Failure` of the whole.
    """
    failed = 0
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting = deque((each, pool.submit(each.read)) for each in originals[:AHEAD])
        rest = iter(originals[AHEAD:])
        while waiting:
            original, future = waiting.popleft()
            found: bytes | str
            try:
                found, failed = future.result(), 0
            except storage.NotFoundError:
                found = f"no such file: {original.uri}"
            except (UserError, Failure) as error:
                found, failed = str(error), failed + 1
                if failed == AHEAD:
                    raise
            if (following := next(rest, None)) is not None:
                waiting.append((following, pool.submit(following.read)))
            yield original, found


def changed(originals: Sequence[Original], since: float) -> bool:
    """Whether one of them was written after that time, in seconds since 1970, or is gone."""
    uris = [original.uri for original in originals if original.data is None]
    with ThreadPoolExecutor(AHEAD) as pool:
        return any(when is None or when >= since for when in pool.map(_modified, uris))


def _modified(uri: str) -> float | None:
    try:
        return storage.modified(uri)
    except storage.NotFoundError:
        return None

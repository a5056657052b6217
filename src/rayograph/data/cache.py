"""A copy of record batches on a node's own disk, shared by every process that names its folder.

One file a record batch, written beside its place and renamed into it, so that a reader finds it
whole or not at all; what is read is verified by its hash like anything from the store. Locks are
held by open files alone and end with their process, however it ends.
"""

import fcntl
import logging
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rayograph.config import DataOptions

LOCKS = 256  # files, so that they do not grow with the dataset
WAIT_S = 30.0  # for another process that fetches the same bytes; then both do
ROOM = 0.1  # of the limit that is freed at once, as each time costs a look at every file
PART = ".part"
_log = logging.getLogger("rayograph.cache")


class Cache:
    """At most `limit` bytes of record batches below `folder`; the least recently used go first.

    Where the disk fails or is full, it says so once and from then on keeps nothing.
    """

    def __init__(self, folder: str | Path, limit: int) -> None:
        self._folder = Path(folder)
        self._limit = limit
        self._failed = threading.Event()

    @classmethod
    def of(cls, options: DataOptions) -> "Cache | None":
        """The node's cache, where one is wanted."""
        return cls(options.cache, options.cache_bytes) if options.cache else None

    @contextmanager
    def alone(self, key: str, closed: threading.Event) -> Iterator[None]:
        """Keep others from fetching `key` meanwhile, and wait where one does now.

        The wait ends early once `closed` is set.
        """
        lock: FileLock | None = None
        with self._giving_up():
            folder = self._made(self._folder / "locks")
            place = folder / f"{zlib.crc32(key.encode()) % LOCKS:03}"
            lock = FileLock(place, timeout=WAIT_S, thread_local=False)
            with suppress(Timeout):
                lock.acquire(cancel_check=closed.is_set)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def read(self, key: str, into: memoryview) -> bool:
        """Fill `into` with what is kept under `key`; False where nothing of that length is."""
        with (
            self._giving_up(),
            suppress(FileNotFoundError),
            self._path(key).open("rb", buffering=0) as file,
        ):
            os.utime(file.fileno())
            return os.fstat(file.fileno()).st_size == len(into) == file.readinto(into)
        return False

    def put(self, key: str, data: memoryview) -> None:
        """Keep `data` under `key`, complete or not at all."""
        if self._failed.is_set() or len(data) > self._limit:
            return
        with self._giving_up():
            path = self._path(key)
            self._made(path.parent)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed, or this process ends
                self._make_room(len(data))
                self._write(path, data)

    def drop(self, key: str) -> None:
        """Forget what is kept under `key`."""
        with self._giving_up():
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / "batches" / key

    def _made(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # films of patients
        return folder

    def _write(self, path: Path, data: memoryview) -> None:
        part = path.with_name(path.name + PART)
        try:
            with part.open("wb", buffering=0) as file:
                written = 0
                while written < len(data):
                    written += file.write(data[written:])
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _make_room(self, wanted: int) -> None:
        """Count `wanted` more bytes, and delete what was read longest ago where they are too many.

        Bytes are counted before they are written: a process killed in between leaves a number that
        is too high, and the next look at the files mends it.
        """
        total = self._folder / "bytes"
        try:
            held = int(total.read_text())
        except (FileNotFoundError, ValueError):  # new, or its writer was killed
            held = self._evicted(self._limit)
        if held + wanted > self._limit:
            held = self._evicted(max(0, int(self._limit * (1 - ROOM)) - wanted))
        total.write_text(str(held + wanted))

    def _evicted(self, limit: int) -> int:
        """What is left after deleting the oldest files until no more than `limit` bytes are."""
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        for _, size, path in files:
            if held <= limit:
                break
            path.unlink(missing_ok=True)  # who has it open reads on
            held -= size
        return held

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, bytes and place of each file; what a killed writer left is deleted."""
        for path in (self._folder / "batches").rglob("*"):
            with suppress(FileNotFoundError):
                if path.name.endswith(PART):  # its writer was killed, for we hold the lock
                    path.unlink()
                elif path.is_file():
                    found = path.stat()
                    yield found.st_mtime, found.st_size, path

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Go on without the cache where the disk fails, and say so once."""
        try:
            yield
        except OSError as error:
            if not self._failed.is_set():
                self._failed.set()
                reason = error.strerror or error
                _log.warning("%s: the cache keeps nothing more: %s", self._folder, reason)

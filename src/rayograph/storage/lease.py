"""One writer a folder: a lease that its holder renews, and that is taken over once it is not.

The lease is an object beside what it protects. It is made only if there is none, and taken over
only if it is still the one that was seen: by conditional writes in a store, under a lock on a disk.
A store that knows no conditions, or a disk without locks, leaves two that begin within the same
instant: there, who writes last holds it, and the other one finds out before it begins.
"""

import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rayograph.errors import Failure, UserError
from rayograph.storage.objects import delete, s3
from rayograph.storage.retries import NotFoundError, with_retries
from rayograph.storage.uri import absolute, bucket_and_key, is_local, join

NAME = ".lease.json"
RENEW_S, DEAD_S = 3.0, 12.0  # between two signs of life; without one, its holder is dead
SETTLE_S = 2.0  # in which all who saw no lease have written theirs, where nothing is conditional
_log = logging.getLogger("rayograph.lease")


@contextmanager
def held(folder: str, what: str) -> Iterator[None]:
    """Be the only one that writes below `folder` within the block.

    Raises `UserError` where another process does, which `what` it writes names; one that has died
    is waited for, at most `DEAD_S`.
    """
    lease = _Lease(join(absolute(folder), NAME))
    lease.acquire(what)
    done = threading.Event()
    thread = threading.Thread(target=lease.renew, args=(done,), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        lease.release()


class _Lease:
    """The object at `uri`, as this process sees it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._token = secrets.token_hex(8)
        self._tag: str | None = None  # of the state that we wrote last
        self._renewals = 0
        self._blind = False  # whether the store knows no conditional writes

    def acquire(self, what: str) -> None:
        """Make the lease, or take a dead one over; `UserError` where its holder is alive."""
        while True:
            seen = self._read()
            if seen is not None:
                self._outlive(*seen, what)
            if self._put(seen and seen[0]) and self._confirmed():
                return

    def _outlive(self, tag: str, holder: dict[str, Any], what: str) -> None:
        """Wait until a lease counts as dead, or is given back; `UserError` if it is renewed."""
        deadline = time.monotonic() + (0 if _died_here(holder) else DEAD_S)
        while (now := self._read()) is not None and time.monotonic() < deadline:
            if now[0] != tag:
                raise UserError(
                    f"{self._uri.removesuffix(f'/{NAME}')}: another process writes this {what} "
                    f"({now[1].get('who')}); wait for its end, or give another name"
                )
            time.sleep(0.2)

    def renew(self, done: threading.Event) -> None:
        """Give a sign of life from time to time; who has lost the lease must not write on."""
        while not done.wait(RENEW_S):
            try:
                if self._put(self._tag, done):
                    continue
            except (Failure, UserError) as error:  # the store is away, for others, too
                _log.warning("%s", error)
                continue
            _log.error("%s: was taken over by another process; this one ends", self._uri)
            while True:
                os.kill(os.getpid(), signal.SIGTERM)
                if done.wait(1):  # the first one may only ask to save and end
                    return

    def release(self) -> None:
        """Give it back, if it is still ours; a store that is away is not waited for."""
        now = threading.Event()
        now.set()
        try:
            seen = self._read(now)
            if seen is not None and seen[1].get("token") == self._token:
                delete([self._uri])
        except (Failure, UserError) as error:
            _log.warning("%s", error)

    def _confirmed(self) -> bool:
        """Whether nobody else can believe to hold it: a store must refuse to make it again."""
        if is_local(self._uri) or not (self._blind or self._put(None)):
            return True
        self._blind = True
        time.sleep(SETTLE_S)
        seen = self._read()
        return seen is not None and seen[1].get("token") == self._token

    def _put(self, expected: str | None, closed: threading.Event | None = None) -> bool:
        """Write our state if the present one is `expected` (None: none); whether it was."""
        self._renewals += 1
        state = {"token": self._token, "who": f"process {os.getpid()} on {socket.gethostname()}",
                 "machine": _machine(), "pid": os.getpid(), "renewals": self._renewals}  # fmt: skip
        data = json.dumps(state).encode()
        if is_local(self._uri):
            tag = with_retries("write", self._uri, lambda: self._put_file(data, expected))
        else:
            tag = self._put_object(data, expected, closed)
            if tag is None and (seen := self._read(closed)) is not None and seen[1] == state:
                tag = seen[0]  # it was written, and the answer to that was lost
        self._tag = tag or self._tag
        return tag is not None

    def _put_file(self, data: bytes, expected: str | None) -> str | None:
        path = Path(self._uri)
        if not expected:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(path, os.O_RDWR | (0 if expected else os.O_CREAT), 0o666)
        except FileNotFoundError:  # given back meanwhile
            return None
        try:
            with suppress(OSError):  # NFS locks only what is open for writing, some disks nothing
                fcntl.flock(file, fcntl.LOCK_EX)
            found = os.pread(file, 2**16, 0).decode()
            if found != (expected or "") or not _is(path, file):
                return None
            os.pwrite(file, data, 0)
            os.ftruncate(file, len(data))
        finally:
            os.close(file)
        return data.decode()

    def _put_object(
        self, data: bytes, expected: str | None, closed: threading.Event | None
    ) -> str | None:
        from botocore.exceptions import ClientError

        bucket, key = bucket_and_key(self._uri)

        def act() -> str | None:
            rule = {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
            given: dict[str, Any] = {} if self._blind else rule
            try:
                return s3().put_object(Bucket=bucket, Key=key, Body=data, **given)["ETag"]
            except ClientError as error:
                if error.response["Error"]["Code"] == "NotImplemented" and not self._blind:
                    self._blind = True
                    return act()
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status in (404, 409, 412):  # gone, being written, another
                    return None
                raise

        if self._blind:
            seen = self._read(closed)
            if (seen and seen[0]) != expected:
                return None
        return with_retries("write", self._uri, act, closed)

    def _read(self, closed: threading.Event | None = None) -> tuple[str, dict[str, Any]] | None:
        """Its state as a tag to compare, and as what it says."""
        try:
            if is_local(self._uri):
                tag = body = with_retries("read", self._uri, Path(self._uri).read_text)
            else:
                bucket, key = bucket_and_key(self._uri)
                answer = with_retries(
                    "read", self._uri, lambda: s3().get_object(Bucket=bucket, Key=key), closed
                )
                tag, body = answer["ETag"], answer["Body"].read().decode()
        except NotFoundError:
            return None
        try:
            return tag, dict(json.loads(body))
        except (ValueError, TypeError):
            return tag, {}


def _is(path: Path, file: int) -> bool:
    """Whether the open file is still the one at `path`."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file))
    return False


def _machine() -> str | None:
    """What a process number means something in: a start of a kernel, and its namespace.

    A host's name is not that: containers that share one do not see each other's processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _died_here(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process that would be seen here, and is no more."""
    machine = _machine()
    if machine is None or holder.get("machine") != machine:
        return False
    try:
        stat = Path(f"/proc/{holder.get('pid')}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"  # dead, and its parent has not looked yet

"""One writer a folder: a lease that its holder renews, and that is taken over once it is not.

The lease is an object beside what it protects. It is made only if there is none, and taken over
only if it is still the one that was seen: by conditional writes in a store, under a lock on a disk.
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rayograph.errors import Failure, UserError
from rayograph.storage.objects import delete, s3
from rayograph.storage.retries import NotFoundError, with_retries
from rayograph.storage.uri import absolute, bucket_and_key, is_local, join

NAME = ".lease.json"
RENEW_S, DEAD_S = 3.0, 12.0  # between two signs of life; without one, its holder is dead
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

    def acquire(self, what: str) -> None:
        """Make the lease, or take a dead one over; `UserError` where its holder is alive."""
        while not self._put(None):
            seen = self._read()
            if seen is None:  # given back meanwhile
                continue
            tag, holder = seen
            deadline = time.monotonic() + (0 if _died_here(holder) else DEAD_S)
            while (now := self._read()) is not None and now[0] == tag:
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.2)
            if now is not None and now[0] != tag:
                raise UserError(
                    f"{self._uri.removesuffix(f'/{NAME}')}: another process writes this {what} "
                    f"({holder.get('who')}); wait for its end, or give another name"
                )
            if now is not None and self._put(tag):
                return

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
            os.kill(os.getpid(), signal.SIGTERM)
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

    def _put(self, expected: str | None, closed: threading.Event | None = None) -> bool:
        """Write our state if the present one is `expected` (None: none); whether it was."""
        self._renewals += 1
        who = f"process {os.getpid()} on {socket.gethostname()}"
        state = {"token": self._token, "who": who, "host": socket.gethostname(),
                 "pid": os.getpid(), "renewals": self._renewals}  # fmt: skip
        data = json.dumps(state).encode()
        if is_local(self._uri):
            tag = self._put_file(data, expected)
        else:
            tag = self._put_object(data, expected, closed)
        self._tag = tag or self._tag
        return tag is not None

    def _put_file(self, data: bytes, expected: str | None) -> str | None:
        path = Path(self._uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = path.read_bytes().decode() if path.exists() else None
            if found != expected:
                return None
            beside = path.with_name(f"{NAME}.{self._token}")
            beside.write_bytes(data)
            beside.replace(path)
        finally:
            os.close(lock)
        return data.decode()

    def _put_object(
        self, data: bytes, expected: str | None, closed: threading.Event | None
    ) -> str | None:
        from botocore.exceptions import ClientError

        bucket, key = bucket_and_key(self._uri)
        rule: dict[str, Any] = {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}

        def act() -> str | None:
            try:
                return s3().put_object(Bucket=bucket, Key=key, Body=data, **rule)["ETag"]
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status in (404, 409, 412):  # gone, being written, another
                    return None
                raise

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


def _died_here(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine, and is no more."""
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return Path("/proc/self").exists()  # else there is nothing to see
    return state == "Z"  # it has died, and its parent has not looked yet

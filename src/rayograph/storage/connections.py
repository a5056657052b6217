"""Ranged GETs into the caller's memory, over kept connections, with nothing in between.

HTTP/1.1 as far as it takes to read bytes: one request, one answer 206 of a known length. Whatever
else a store, or a proxy on the way to it, has to say is `Refused`, and boto3 asks again. What that
saves, in requests of 1 MiB to SeaweedFS: 0.28 ms of CPU a MiB, `http.client` 0.42, urllib3 0.79
(`python -m benchmarks.clients`), so 9 µs of the reader's 75 for a raw 256² film.
"""

import os
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

CONNECT_S = 10
SILENT_S = 15  # without a byte: the connection is given up
HEAD_BYTES = 16_384

Host = tuple[str, str, int]  # scheme, name, port


class Refused(Exception):
    """An answer that is neither the bytes nor an error that passes."""


class CutShort(OSError):
    """The connection ended before the bytes did."""


class Busy(OSError):
    """The store asks to be left alone for a while."""


class Connections:
    """Connections that are used again; safe to use from several threads."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self._idle: dict[Host, list[socket.socket]] = {}
        self._active: set[socket.socket] = set()
        self._lock = threading.Lock()

    def get(self, url: str, offset: int, into: Sequence[memoryview]) -> int:
        """Fill `into`, one after the other, with the bytes from `offset` by one request.

        Returns how many bytes the object had there.

        Raises `Refused` for an answer that is neither the bytes nor an error that passes, and
        `OSError` for one that does.
        """
        parts = urlsplit(url)
        name, port = str(parts.hostname), parts.port or {"https": 443}.get(parts.scheme, 80)
        host = (parts.scheme, name, port)
        if _proxied(parts.scheme, parts.netloc):
            raise Refused("a proxy stands between this machine and the store")
        last = offset + sum(map(len, into)) - 1
        request = (
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Range: bytes={offset}-{last}\r\nAccept-Encoding: identity\r\n\r\n"
        ).encode("ascii")
        if (kept := self._kept(host)) is not None:
            with suppress(ConnectionError):  # the store closes what is idle for too long
                return self._exchange(host, kept, request, into)
        return self._exchange(host, self._fresh(host), request, into)

    def close(self) -> None:
        """End the requests that are under way, and keep no connection."""
        with self._lock:
            self.closed.set()
            for connection in self._active:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def _exchange(
        self, host: Host, connection: socket.socket, request: bytes, into: Sequence[memoryview]
    ) -> int:
        again = False
        try:
            connection.sendall(request)
            status, fields, early = _head(connection)
            if status == 429 or status >= 500:
                raise Busy(f"the store answered {status}")
            if status != 206 or b"transfer-encoding" in fields:
                raise Refused(f"the store answered {status}")
            told = fields.get(b"content-length", b"")
            length = int(told) if told.isdigit() else -1
            wanted = sum(map(len, into))
            if not len(early) <= length <= wanted:
                raise CutShort(f"the store sends {length} bytes where {wanted} were asked for")
            left = length
            for part in into:
                early = _fill(connection, early, part[:left])
                left -= min(len(part), left)
            again = fields.get(b"connection", b"").lower() != b"close"
            return length
        finally:
            self._put(host, connection, again)

    def _kept(self, host: Host) -> socket.socket | None:
        with self._lock:
            if not (idle := self._idle.get(host)):
                return None
            connection = idle.pop()
            self._active.add(connection)
            return connection

    def _fresh(self, host: Host) -> socket.socket:
        scheme, name, port = host
        connection = socket.create_connection((name, port), CONNECT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "https":
            connection = _secure(connection, name)
        connection.settimeout(SILENT_S)
        with self._lock:
            if self.closed.is_set():
                connection.close()
                raise ConnectionAbortedError("the reader was closed")
            self._active.add(connection)
        return connection

    def _put(self, host: Host, connection: socket.socket, again: bool) -> None:
        """Keep a connection whose answer was read whole; close any other."""
        with self._lock:
            self._active.discard(connection)
            if again and not self.closed.is_set():
                self._idle.setdefault(host, []).append(connection)
                return
        connection.close()


def _head(connection: socket.socket) -> tuple[int, dict[bytes, bytes], memoryview]:
    """An answer's status and fields, names in lower case, and what came early of its body."""
    data, got = memoryview(bytearray(HEAD_BYTES)), 0
    while True:
        count = connection.recv_into(data[got:])
        if not count:
            raise ConnectionResetError("the store closed the connection without an answer")
        got += count
        end = bytes(data[:got]).find(b"\r\n\r\n")
        if end >= 0:
            break
        if got == HEAD_BYTES:
            raise Refused("the store's answer begins with more than this reader reads")
    first, *lines = bytes(data[:end]).split(b"\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise Refused("the store does not speak HTTP/1.1")
    fields = (line.partition(b":") for line in lines)
    return (
        int(words[1]),
        {name.strip().lower(): value.strip() for name, _, value in fields},
        data[end + 4 : got],
    )


def _fill(connection: socket.socket, early: memoryview, into: memoryview) -> memoryview:
    """Fill `into` with what came early, then with what comes; returns what it has no room for."""
    got = min(len(early), len(into))
    into[:got] = early[:got]
    while got < len(into):
        count = connection.recv_into(into[got:])
        if not count:
            raise CutShort(f"the connection ended {len(into) - got} bytes too early")
        got += count
    return early[got:]


def _secure(connection: socket.socket, name: str) -> ssl.SSLSocket:
    """Speak TLS; an unknown certificate is left to boto3, which may know more."""
    try:
        return _tls().wrap_socket(connection, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise Refused(str(error)) from None


@lru_cache(maxsize=64)
def _proxied(scheme: str, host: str) -> bool:
    return scheme in getproxies() and not proxy_bypass(host)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    from botocore.session import Session

    bundle = Session().get_config_variable("ca_bundle")  # AWS_CA_BUNDLE, or the profile's
    return ssl.create_default_context(cafile=bundle or os.environ.get("REQUESTS_CA_BUNDLE"))

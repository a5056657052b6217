"""HTTP/1.1 as it lies on the wire: heads and bodies passed on unread, at a chosen pace."""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import F_SETPIPE_SZ, fcntl

MOST = 1 << 20  # bytes in a pipe: fewer system calls, and what one may ask for without being root
HEAD = 1 << 16

Count = Callable[[int], None]


class Gone(ConnectionError):
    """The other side has closed before all was said."""


class Pace:
    """So many bytes a second; a late wake-up is caught up with, up to 2 ms."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.piece = int(min(MOST, max(4096, rate / 150)))  # what may pass at once: 7 ms of it
        self._due = 0.0

    def wait(self, count: int) -> None:
        """Sleep until `count` more bytes may have passed."""
        self._due = max(self._due, time.monotonic() - 0.002) + count / self.rate
        time.sleep(max(0.0, self._due - time.monotonic()))


class Wire:
    """One side of a connection, and what was read of it beyond the last head."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._read = b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def head(self) -> bytes:
        """A request's or an answer's head with the empty line; nothing where the other has left."""
        with suppress(Gone):
            return self._until(b"\r\n\r\n")
        return b""

    def ended(self) -> bool:
        """Whether the other side has closed, or says what nobody asked for, while it was idle."""
        with suppress(BlockingIOError):
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return True
        return False

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._read) < count:
            self._more()
        taken, self._read = self._read[:count], self._read[count:]
        return taken

    def pass_on(self, sink: "Wire", count: int, pace: Pace | None, passed: Count) -> None:
        """Let `count` bytes through, without looking at them and without copying them."""
        early = self.take(min(count, len(self._read)))
        passed(len(early))  # counted before it is sent, so that whoever has it finds it counted
        sink.send(early)
        count -= len(early)
        if not count:
            return
        with _pipe() as (out, into):
            while count:
                most = min(count, pace.piece if pace else MOST)
                if not (there := os.splice(self.sock.fileno(), into, most)):
                    raise Gone
                if pace:
                    pace.wait(there)
                passed(there)
                left = there
                while left:
                    left -= os.splice(out, sink.sock.fileno(), left)
                count -= there

    def pass_chunks(self, sink: "Wire", pace: Pace | None, passed: Count) -> None:
        """Let a chunked body through: sizes, chunks, trailers and the empty line at its end."""
        while True:
            line = self._until(b"\r\n")
            sink.send(line)
            size = int(line.split(b";")[0], 16)
            if not size:
                break
            self.pass_on(sink, size, pace, passed)
            sink.send(self.take(2))
        while line != b"\r\n":
            line = self._until(b"\r\n")
            sink.send(line)

    def drain(self) -> int:
        """Say no more, and read until the other side has no more to say; the bytes of it."""
        self.sock.shutdown(socket.SHUT_WR)
        count = len(self._read)
        while data := self.sock.recv(MOST):
            count += len(data)
        return count

    def end(self) -> None:
        """Close, so that the other side sees an end."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Close, so that the other side sees ECONNRESET."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        return self.take(self._read.index(mark) + len(mark))

    def _more(self) -> None:
        data = self.sock.recv(HEAD)
        if not data:
            raise Gone
        self._read += data


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    out, into = os.pipe()
    try:
        with suppress(PermissionError):  # beyond what one user may have: smaller, and slower
            fcntl(into, F_SETPIPE_SZ, MOST)
        yield out, into
    finally:
        os.close(out)
        os.close(into)

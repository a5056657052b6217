"""What `tests.faults` does with one client's connection: requests passed on, faults among them."""

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.wire import Count, Gone, Pace, Wire

if TYPE_CHECKING:
    from tests.faults import Fault, Proxy, Request

Headers = dict[str, str]

REFUSALS = {
    "slow_down": (503, "Slow Down", "SlowDown", "Please reduce your request rate."),
    "internal_error": (500, "Internal Server Error", "InternalError", "Please try again."),
}


class Ended(Exception):
    """The connection is to be closed in good order, though not all was said."""


class Exchange:
    """One client's connection, and the one to the store that stands behind it."""

    def __init__(self, proxy: "Proxy", client: socket.socket) -> None:
        self._proxy = proxy
        self._client = Wire(client)
        self._store: Wire | None = None
        self._gone = threading.Event()
        self._pace: Pace | None = None

    def run(self) -> None:
        """Serve requests until one side has enough of it."""
        try:
            while (head := self._client.head()) and not self._gone.is_set() and self._one(head):
                pass  # SHUT_RD stops no bytes that come after it, so `head` may well have one
            raise Gone if self._gone.is_set() else Ended
        except Ended:
            for wire in filter(None, (self._client, self._store)):
                wire.end()
        except OSError:
            for wire in filter(None, (self._client, self._store)):
                wire.reset()

    def leave(self) -> None:
        """Wake whatever waits, from another thread; `run` then resets the connection."""
        self._gone.set()
        for wire, how in ((self._client, socket.SHUT_RD), (self._store, socket.SHUT_RDWR)):
            if wire:
                with suppress(OSError):
                    wire.sock.shutdown(how)

    def _one(self, head: bytes) -> bool:
        """Pass one request on and its answer back; whether the connection goes on."""
        (method, target, _), headers = _parsed(head)
        request = self._proxy.asked(
            method, target, headers.get("range", ""), self._client.sock.getpeername()[1]
        )
        faults = self._proxy.chosen(request)
        request.faults = tuple(fault.kind for fault in faults)
        main: Fault | None = None
        for fault in faults:
            if fault.kind == "latency":
                self._wait(fault.seconds)
            elif fault.kind == "rate":
                if not self._pace or self._pace.rate != fault.rate:
                    self._pace = Pace(fault.rate)
            else:
                main = fault
        if main and main.kind in REFUSALS:
            return self._refuse(request, headers, main.kind)
        return self._pass(request, head, headers, main)

    def _refuse(self, request: "Request", headers: Headers, kind: str) -> bool:
        status, reason, code, message = REFUSALS[kind]
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        goes_on = not _uploads(headers)
        request.status = status
        lines = [f"HTTP/1.1 {status} {reason}", "Content-Type: application/xml"]
        lines += [f"Content-Length: {len(body)}", *([] if goes_on else ["Connection: close"])]
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
        self._client.send(head + (b"" if request.method == "HEAD" else body))
        if not goes_on:
            request.received += self._client.drain()  # unread bytes would turn the end to a reset
        return goes_on

    def _pass(
        self, request: "Request", head: bytes, headers: Headers, fault: "Fault | None"
    ) -> bool:
        store = self._behind()
        store.send(head)
        uploads = _uploads(headers)
        if uploads and "expect" in headers:
            answer = store.head()
            if _status(answer) != 100:
                self._answer(request, store, answer, None)
                return False
            self._client.send(answer)
        in_upload = fault if uploads and fault and fault.kind != "truncate" else None
        if uploads:
            self._through(self._client, store, _length(headers), in_upload, request.receive)
        answer = store.head()
        while _status(answer) == 100:
            self._client.send(answer)
            answer = store.head()
        if fault and fault.kind == "lost_answer":
            raise Gone
        goes_on = self._answer(request, store, answer, None if in_upload else fault)
        return goes_on and headers.get("connection", "").lower() != "close"

    def _answer(self, request: "Request", store: Wire, head: bytes, fault: "Fault | None") -> bool:
        """The store's answer, to the client; whether the connection goes on."""
        if not head:
            raise Gone
        _, headers = _parsed(head)
        status = _status(head)
        empty = request.method == "HEAD" or status in (204, 304)
        length = 0 if empty else _length(headers)
        if fault and length == 0:
            self._act(fault, store, self._client)
        request.status = status
        self._client.send(head)
        if length != 0:
            self._through(store, self._client, length, fault, request.send)
        return headers.get("connection", "").lower() != "close"

    def _through(
        self, source: Wire, sink: Wire, length: int | None, fault: "Fault | None", passed: Count
    ) -> None:
        """A body, and what happens in it; a chunked one (no length) has its faults at once."""
        if length is None:
            if fault:
                self._act(fault, source, sink)
            source.pass_chunks(sink, self._pace, passed)
            return
        if fault:
            before = min(length - 1, length // 2 if fault.at is None else fault.at)
            source.pass_on(sink, before, self._pace, passed)
            length -= before
            self._act(fault, source, sink)
            if fault.kind == "corrupt":
                length -= 1
        source.pass_on(sink, length, self._pace, passed)

    def _act(self, fault: "Fault", source: Wire, sink: Wire) -> None:
        if fault.kind == "reset":
            raise Gone
        if fault.kind == "truncate":
            raise Ended
        if fault.kind == "stall":
            self._wait(fault.seconds)
        if fault.kind == "corrupt":
            sink.send(bytes([source.take(1)[0] ^ 0xFF]))

    def _wait(self, seconds: float | None) -> None:
        if self._gone.wait(seconds):
            raise Gone

    def _behind(self) -> Wire:
        """The store; a connection that it closed while it was idle is no fault of ours."""
        if self._store and self._store.ended():
            self._store.end()
            self._store = None
        if not self._store:
            self._store = Wire(socket.create_connection(self._proxy.target))
        return self._store


def _parsed(head: bytes) -> tuple[list[str], Headers]:
    """The words of the first line, and the headers by their names in small letters."""
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first.split(" ", 2), {name.lower(): value.strip() for name, _, value in pairs}


def _length(headers: Headers) -> int | None:
    """Of a body in bytes; None where it comes in chunks."""
    chunked = "chunked" in headers.get("transfer-encoding", "")
    return None if chunked else int(headers.get("content-length", 0))


def _uploads(headers: Headers) -> bool:
    return _length(headers) != 0


def _status(head: bytes) -> int:
    return int(head.split(b" ", 2)[1]) if head else 0

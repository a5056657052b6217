"""A proxy between an S3 client and a real store, where faults are injected and requests counted.

    with faults.between(endpoint) as proxy:  # clients are given proxy.endpoint
        proxy.plan(Fault("slow_down", times=2), Fault("reset", path="*.arrows", after=10))
        with proxy.away(): ...  # connections are refused
        proxy.requests  # what was asked for and what came of it

`python -m tests.faults ENDPOINT --latency 0.025 --rate 80e6` is a far store for a benchmark. Heads
pass unchanged, so signatures hold: they cover the host that the client named, which is the proxy.
"""

import argparse
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import unquote, urlsplit

from tests.exchange import Exchange

Kind = Literal[
    "slow_down", "internal_error", "reset", "truncate", "stall", "corrupt", "lost_answer",
    "latency", "rate",
]  # fmt: skip
SLOWER = ("latency", "rate")  # go together with any other


@dataclass
class Request:
    """What a client asked for (`range` is its header's value), and what came of it so far."""

    method: str
    path: str
    query: str
    range: str
    client: int  # the port of its connection
    began: float = field(default_factory=time.monotonic)
    faults: tuple[str, ...] = ()
    status: int = 0  # 0: no answer
    received: int = 0  # bytes of the request's body
    sent: int = 0  # bytes of the answer's

    def receive(self, count: int) -> None:
        """So many bytes more came from the client."""
        self.received += count

    def send(self, count: int) -> None:
        """So many bytes more went to it."""
        self.sent += count


@dataclass(frozen=True)
class Fault:
    """What happens to the first `times` requests that fit, once `after` such have passed.

    `slow_down` answers 503, `internal_error` 500, and the store never hears of it. `reset`,
    `truncate` (closes early), `stall` (a silence of `seconds`, else for good) and `corrupt` (a byte
    is flipped) happen `at` so many bytes of the body, else in its middle; the body is the request's
    where it has one. `lost_answer`: the store has done it, and the client sees a reset. `latency`
    adds `seconds`; `rate` is bytes/s. Of several that fit, each `latency` counts, and the first of
    the others.
    """

    kind: Kind
    method: str = "*"
    path: str = "*"
    when: Callable[[Request], bool] = lambda _request: True
    times: int | None = 1  # None: always
    after: int = 0
    at: int | None = None
    seconds: float | None = None
    rate: float = 0.0

    def fits(self, request: Request) -> bool:
        """Whether the request is meant at all."""
        alike = fnmatchcase(request.method, self.method) and fnmatchcase(request.path, self.path)
        return alike and self.when(request)


@dataclass
class Proxy:
    """See the module; `requests` has every one, as soon as its head is read."""

    target: tuple[str, int]
    host: str = "127.0.0.1"
    requests: list[Request] = field(default_factory=list)
    port: int = field(init=False)
    _plan: list[tuple[Fault, list[int]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[Exchange] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._name = socket.socket()  # bound and never listening: the port stays ours while away
        self._name.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._name.bind((self.host, 0))
        self.port = self._name.getsockname()[1]
        self._listen()

    @property
    def endpoint(self) -> str:
        """Where clients go instead."""
        return f"http://{self.host}:{self.port}"

    def plan(self, *faults: Fault) -> None:
        """Add faults to those that are still to come."""
        with self._lock:
            self._plan += [(fault, [0]) for fault in faults]

    def calm(self) -> None:
        """Forget all faults that are still to come."""
        with self._lock:
            self._plan.clear()

    @contextmanager
    def away(self) -> Iterator[None]:
        """The store is away: open connections are reset, and new ones refused."""
        self._leave()
        try:
            yield
        finally:
            self._listen()

    def away_for(self, seconds: float) -> threading.Thread:
        """The same from now on, and back by itself; join the thread to wait for that."""
        self._leave()
        timer = threading.Timer(seconds, self._listen)
        timer.daemon = True
        timer.start()
        return timer

    def close(self) -> None:
        """Reset what is open, and listen no more."""
        self._leave()
        self._name.close()

    def chosen(self, request: Request) -> list[Fault]:
        """The faults of one request; counts them."""
        found: list[Fault] = []
        with self._lock:
            for fault, count in self._plan:
                taken = fault.kind not in SLOWER and any(f.kind not in SLOWER for f in found)
                if taken or not fault.fits(request):
                    continue
                count[0] += 1
                turn = count[0] - fault.after
                if turn > 0 and (fault.times is None or turn <= fault.times):
                    found.append(fault)
        return found

    def asked(self, method: str, target: str, span: str, client: int) -> Request:
        """Count a request."""
        parts = urlsplit(target)
        request = Request(method, unquote(parts.path), parts.query, span, client)
        self.requests.append(request)
        return request

    def _listen(self) -> None:
        self._server = socket.create_server((self.host, self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):  # the server was closed
            while True:
                exchange = Exchange(self, server.accept()[0])
                with self._lock:
                    self._open.add(exchange)
                if server.fileno() < 0:  # closed since the connection was accepted
                    exchange.leave()
                threading.Thread(target=self._serve, args=(exchange,), daemon=True).start()

    def _serve(self, exchange: Exchange) -> None:
        exchange.run()
        with self._lock:
            self._open.remove(exchange)

    def _leave(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not
        self._server.close()
        with self._lock:
            for exchange in self._open:
                exchange.leave()


@contextmanager
def between(endpoint: str, *faults: Fault) -> Iterator[Proxy]:
    """A proxy before the store at `endpoint`, with these faults planned."""
    parts = urlsplit(endpoint)
    proxy = Proxy((str(parts.hostname), parts.port or 80))
    proxy.plan(*faults)
    try:
        yield proxy
    finally:
        proxy.close()


def far(latency: float = 0.0, rate: float = 0.0) -> list[Fault]:
    """What makes a store far away: seconds a request, and bytes/s a connection; 0 for neither."""
    faults = [Fault("latency", times=None, seconds=latency)] if latency else []
    return faults + ([Fault("rate", times=None, rate=rate)] if rate else [])


def main() -> None:
    """Print the proxy's endpoint and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a request")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes/s a connection")
    words = parser.parse_args()
    with between(words.endpoint, *far(words.latency, words.rate)) as proxy:
        print(proxy.endpoint, flush=True)
        with suppress(KeyboardInterrupt):
            time.sleep(10**9)


if __name__ == "__main__":
    main()

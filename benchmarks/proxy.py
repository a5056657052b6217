"""A store that is far away: a proxy that delays each request and paces each connection.

It runs as a process of its own and moves bytes with splice, so that its share of the two cores is
small; `Endpoint.counted` says how small. `python -m benchmarks.proxy` is what it starts.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

PIPE_BYTES = 1 << 20


@dataclass(frozen=True)
class Counted:
    """Since the proxy started: bytes towards clients, requests, and its own CPU seconds."""

    bytes: int
    requests: int
    cpu_s: float


class Endpoint(str):
    """The proxy's URL."""

    process: "subprocess.Popen[str]"

    def counted(self) -> Counted:
        """Ask the proxy what went through it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("count", file=self.process.stdin, flush=True)
        return Counted(**json.loads(self.process.stdout.readline()))


@contextmanager
def proxy(endpoint: str, latency_s: float = 0, bytes_per_s: float = 0) -> Iterator[Endpoint]:
    """Another endpoint of the same store: each request late, each connection at most so fast."""
    parts = urlsplit(endpoint)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.proxy", str(parts.hostname), str(parts.port),
         str(latency_s), str(bytes_per_s)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    found = Endpoint(f"http://127.0.0.1:{process.stdout.readline().strip()}")
    found.process = process
    try:
        yield found
    finally:
        process.stdin.close()
        process.wait()


class _Proxy:
    def __init__(self, target: tuple[str, int], latency_s: float, bytes_per_s: float) -> None:
        self.target, self.latency_s, self.bytes_per_s = target, latency_s, bytes_per_s
        self.bytes = self.requests = 0
        self.lock = threading.Lock()

    def serve(self, server: socket.socket) -> None:
        while True:
            client, _ = server.accept()
            store = socket.create_connection(self.target)
            for end in (client, store):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for pump in (self._ask, self._answer):
                threading.Thread(target=pump, args=(client, store), daemon=True).start()

    def _ask(self, client: socket.socket, store: socket.socket) -> None:
        """A GET fits into one packet, so each packet from a client is a request."""
        with suppress(OSError):
            while data := client.recv(65536):
                time.sleep(self.latency_s)
                with self.lock:
                    self.requests += 1
                store.sendall(data)
        with suppress(OSError):
            store.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, store: socket.socket) -> None:
        out, into = os.pipe()
        free = time.monotonic()  # when the line has carried all that was sent
        with suppress(OSError):
            while count := os.splice(store.fileno(), into, PIPE_BYTES):
                if self.bytes_per_s:
                    free = max(free, time.monotonic()) + count / self.bytes_per_s
                    time.sleep(max(0.0, free - time.monotonic()))
                with self.lock:
                    self.bytes += count
                while count:
                    count -= os.splice(out, client.fileno(), count)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        os.close(out)
        os.close(into)


def main() -> None:
    """Serve until the standard input ends; each line of it is answered with the counts."""
    host, port, latency_s, bytes_per_s = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        running = _Proxy((host, int(port)), float(latency_s), float(bytes_per_s))
        threading.Thread(target=running.serve, args=(server,), daemon=True).start()
        print(server.getsockname()[1], flush=True)
        for _ in sys.stdin:
            counts = {"bytes": running.bytes, "requests": running.requests}
            print(json.dumps({**counts, "cpu_s": time.process_time()}), flush=True)


if __name__ == "__main__":
    main()

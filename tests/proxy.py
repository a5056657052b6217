"""A proxy between a client and a server that can be slow: faults at a real boundary."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


@contextmanager
def slow(endpoint: str, delay_s: float) -> Iterator[str]:
    """Another endpoint for the same server, where each packet towards the client is late."""
    parts = urlsplit(endpoint)
    target = (str(parts.hostname), int(parts.port or 80))
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, target, delay_s), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _serve(server: socket.socket, target: tuple[str, int], delay_s: float) -> None:
    with suppress(OSError):  # the server is closed when the block ends
        while True:
            client, _ = server.accept()
            upstream = socket.create_connection(target)
            for source, sink, late in ((client, upstream, 0.0), (upstream, client, delay_s)):
                threading.Thread(target=_pump, args=(source, sink, late), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, late_s: float) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            time.sleep(late_s)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

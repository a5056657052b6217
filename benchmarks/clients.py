"""CPU time of ranged GETs into the caller's memory: our connections, http.client, urllib3, in turn.

    python -m benchmarks.clients

Beside a SeaweedFS that is started for it. Only the client's CPU time is counted.
"""

import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from rayograph import storage
from rayograph.storage.connections import Connections
from rayograph.storage.objects import s3
from tests import seaweed

MIB = 2**20
OBJECT, SIZES, READ, ROUNDS = 64 * MIB, (MIB // 16, MIB, 8 * MIB), 256 * MIB, 7
Get = Callable[[str, int, memoryview], object]


def ours() -> Get:
    """What the reader uses."""
    connections = Connections()
    return lambda url, offset, into: connections.get(url, offset, [into])


def plain() -> Get:
    """The standard library's client, one kept connection."""
    kept: list[http.client.HTTPConnection] = []

    def get(url: str, offset: int, into: memoryview) -> None:
        parts = urlsplit(url)
        if not kept:
            kept.append(http.client.HTTPConnection(parts.netloc))
        span = {"Range": f"bytes={offset}-{offset + len(into) - 1}"}
        kept[0].request("GET", f"{parts.path}?{parts.query}", headers=span)
        _fill(kept[0].getresponse().readinto, into)

    return get


def pooled() -> Get:
    """urllib3, which botocore is built on."""
    pool = urllib3.PoolManager()

    def get(url: str, offset: int, into: memoryview) -> None:
        span = {"Range": f"bytes={offset}-{offset + len(into) - 1}"}
        answer = pool.request("GET", url, headers=span, preload_content=False)
        _fill(answer.readinto, into)
        answer.release_conn()

    return get


def _fill(readinto: Callable[[memoryview], int], into: memoryview) -> None:
    got = 0
    while got < len(into):
        got += readinto(into[got:])


def measured(get: Get, url: str, size: int) -> float:
    """Milliseconds of CPU for each MiB, in requests of `size` bytes."""
    into, count = memoryview(bytearray(size)), min(READ // size, 1000)
    began = time.process_time()
    for number in range(count):
        get(url, number * size % OBJECT, into)
    return (time.process_time() - began) * 1000 / (count * size / MIB)


def main() -> None:
    """Start a store, measure in turn, print the medians."""
    clients: dict[str, Get] = {
        "ours": ours(), "http.client": plain(), "urllib3": pooled(),
    }  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        seaweed.store(Path(folder)) as environment,
    ):
        os.environ.update(environment)
        storage.write(f"s3://{seaweed.BUCKET}/object", os.urandom(OBJECT))
        place = {"Bucket": seaweed.BUCKET, "Key": "object"}
        url = s3().generate_presigned_url("get_object", Params=place)
        for size in SIZES:
            every = [{n: measured(g, url, size) for n, g in clients.items()} for _ in range(ROUNDS)]
            medians = (f"{n} {statistics.median(e[n] for e in every):.2f}" for n in clients)
            print(f"{size // 1024:>5} KiB a request, ms of CPU a MiB: {', '.join(medians)}")


if __name__ == "__main__":
    main()

"""What serving a film costs the store, by how it was written and read; and a request the reader.

    python -m benchmarks.serving [--rounds N] [--out FILE.json]

Raw phantoms of 256 pixels in objects of 64 MiB in SeaweedFS, which keeps objects in chunks (4 MB
unless it is told otherwise). Parts are read in random order by this package's own client, 16 at
once; the CPU time is that of the store's process alone. Then parts of 1 MiB are read one by one, by
the same client and by boto3, and the CPU time is the reader's. Rounds alternate between all cases.
"""

import argparse
import io
import os
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.measure import cpu_s_of, descendants
from benchmarks.targets import Figure, show
from rayograph import storage
from rayograph.pack import phantom
from rayograph.storage.objects import s3
from tests import seaweed

MIB = 2**20
OBJECT, OBJECTS, AT_ONCE = 64 * MIB, 6, 16
FILM = 256**2
CASES = (  # chunks of the store and parts that are read, in MiB, and whether it knows a media type
    (1, 1, True), (1, 1, False), (2, 2, True), (4, 1, True), (4, 2, True), (4, 64, True),
)  # fmt: skip


def put(data: bytes, typed: bool) -> None:
    """Objects of the same films, by one request or in parts; parts have no type."""
    for number in range(OBJECTS):
        place: dict[str, Any] = {"Bucket": seaweed.BUCKET, "Key": f"{typed}/{number}"}
        if typed:
            s3().put_object(**place, Body=data, ContentType=store.MEDIA_TYPE)
        else:
            s3().upload_fileobj(io.BytesIO(data), **place)


def microseconds(part: int, typed: bool, server: int) -> float:
    """The store's CPU time a film while every part of every object is read once."""
    wanted = [
        (f"s3://{seaweed.BUCKET}/{typed}/{number}", offset)
        for number in range(OBJECTS)
        for offset in range(0, OBJECT, part * MIB)
    ]
    random.Random(0).shuffle(wanted)
    ranges, before = storage.Ranges(), cpu_s_of(server)

    def read(place: tuple[str, int]) -> None:
        ranges.read(*place, memoryview(bytearray(part * MIB)))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(read, wanted))
    ranges.close()
    return 1e6 * (cpu_s_of(server) - before) / (OBJECTS * OBJECT / FILM)


def asking() -> tuple[float, float]:
    """This process's CPU microseconds a part, with the package's own client and with boto3."""
    offsets, key = range(0, OBJECT, MIB), "True/0"
    ranges, into = storage.Ranges(), memoryview(bytearray(MIB))
    began = time.process_time()
    for offset in offsets:
        ranges.read(f"s3://{seaweed.BUCKET}/{key}", offset, into)
    middle = time.process_time()
    for offset in offsets:
        span = f"bytes={offset}-{offset + MIB - 1}"
        into[:] = s3().get_object(Bucket=seaweed.BUCKET, Key=key, Range=span)["Body"].read()
    ended = time.process_time()
    ranges.close()
    return 1e6 * (middle - began) / len(offsets), 1e6 * (ended - middle) / len(offsets)


def main() -> None:
    """Start a store for each size of chunks, fill it, and read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    films = np.stack([phantom.film(number, number % 2 == 1, 256) for number in range(64)])
    data = films.tobytes() * (OBJECT // films.nbytes)
    found: dict[tuple[int, int, bool], list[float]] = {case: [] for case in CASES}
    asked = []
    with ExitStack() as stack:
        stores = {}
        for chunk in sorted({chunk for chunk, *_ in CASES}):
            folder, known = stack.enter_context(tempfile.TemporaryDirectory()), descendants()
            environment = stack.enter_context(seaweed.store(Path(folder), chunk_mb=chunk))
            (server,) = set(descendants()) - set(known)
            stores[chunk] = environment, server
        for number in range(given.rounds):
            for case in CASES:
                chunk, part, typed = case
                environment, server = stores[chunk]
                os.environ.update(environment)
                if not number:
                    put(data, typed)
                found[case].append(microseconds(part, typed, server))
            os.environ.update(stores[1][0])
            asked.append(asking())
    figures = [
        Figure(
            f"chunks of {chunk} MiB, parts of {part}{'' if typed else ', uploaded in parts'}",
            statistics.median(rounds),
            "µs a film",
        )
        for (chunk, part, typed), rounds in found.items()
    ]
    figures += [
        Figure(f"the reader's, a part of 1 MiB, {client}", statistics.median(rounds), "µs")
        for client, rounds in zip(("own client", "boto3"), zip(*asked, strict=True), strict=True)
    ]
    show("CPU time of the store, raw films of 256²", figures, given.out, cores=os.cpu_count())


if __name__ == "__main__":
    main()

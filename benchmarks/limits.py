"""What the machine can do, measured in the same run: `python -m benchmarks.limits`.

One thread receives record batches by ranged GETs into one reused buffer, copies whole films out of
what lies in memory into a reused batch, and decodes JPEGs into a reused batch. Seconds of CPU a
film; a reader does all of these, so their sum is the limit that its own cost is compared with.
"""

import http.client
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import simplejpeg

from benchmarks import store
from benchmarks.corpus import packed
from benchmarks.job import BATCH, Format

HELD = 64  # record batches in memory, as many as a reader has lanes


@dataclass(frozen=True)
class Limits:
    """CPU seconds a film; films/s of the receiving thread by the clock; bytes/s of memcpy."""

    receive_s: float
    receive_films_s: float
    gather_s: float
    decode_s: float
    memcpy_bytes_s: float

    @property
    def film_s(self) -> float:
        """Receive, gather and decode: the least CPU that a film can cost."""
        return self.receive_s + self.gather_s + self.decode_s


def measure(form: Format, place: str) -> Limits:
    """In a process of its own, as every reader."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.limits"], text=True, check=True,
        input=json.dumps({"form": asdict(form), "place": place}), stdout=subprocess.PIPE,
    )  # fmt: skip
    return Limits(**json.loads(done.stdout))


def run(form: Format, place: str) -> Limits:
    """Measure all of it for one packed dataset."""
    manifest = json.loads(store.read(f"{place}/dataset.json"))
    shards = manifest["splits"]["train"]["shards"]
    urls = dict(zip(store.keys(f"{place}/train"), store.presigned(f"{place}/train"), strict=True))
    of_shard = [next(urls[key] for key in urls if key.endswith(shard["path"])) for shard in shards]
    wanted = [
        (url, batch["offset"], batch["bytes"], batch["rows"])
        for url, shard in zip(of_shard, shards, strict=True)
        for batch in shard["batches"]
    ]
    films = sum(rows for *_, rows in wanted)
    buffer = memoryview(bytearray(max(size for _, _, size, _ in wanted)))
    cpu, wall = _timed(lambda: _receive(wanted, buffer))
    raw = form.codec == "raw"
    return Limits(
        receive_s=cpu / films,
        receive_films_s=films / wall,
        gather_s=_gather(wanted, form) if raw else 0.0,
        decode_s=0.0 if raw else _decode(place, form),
        memcpy_bytes_s=_memcpy(),
    )


Wanted = list[tuple[str, int, int, int]]


def _receive(wanted: Wanted, buffer: memoryview) -> None:
    parts = urlsplit(wanted[0][0])
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    for url, offset, size, _ in wanted:
        path = url.partition(parts.netloc)[2]
        connection.request("GET", path, headers={"Range": f"bytes={offset}-{offset + size - 1}"})
        answer = connection.getresponse()
        done = 0
        while done < size:
            count = answer.readinto(buffer[done:size])
            if not count:
                raise RuntimeError(f"{answer.status}: {done} of {size} bytes")
            done += count
        answer.read()  # nothing is left; it frees the connection
    connection.close()


def _gather(wanted: Wanted, form: Format) -> float:
    """Whole films, in random order, out of as much memory as a reader holds."""
    held = sum(rows for *_, rows in wanted[:HELD])
    films = np.ones((held, form.size * form.size), dtype=np.uint8)
    out = np.empty((BATCH, form.size * form.size), dtype=np.uint8)
    order = np.random.default_rng(0).permutation(held)[: held // BATCH * BATCH].reshape(-1, BATCH)

    def copy() -> None:
        for rows in order:
            np.take(films, rows, axis=0, out=out, mode="clip")

    copy()  # every page is there
    return _timed(copy)[0] / order.size


def _decode(place: str, form: Format) -> float:
    """JPEGs of the corpus, more than a cache holds, into a reused batch."""
    films = packed(place)[0][: max(256, 2**27 // form.size**2)]
    out = np.empty((BATCH, form.size, form.size), dtype=np.uint8)

    def decode() -> None:
        for number, data in enumerate(films):
            simplejpeg.decode_jpeg(data, "GRAY", buffer=out[number % BATCH])

    decode()
    return _timed(decode)[0] / len(films)


def _memcpy() -> float:
    source: npt.NDArray[np.uint8] = np.ones(2**28, dtype=np.uint8)
    target = np.ones_like(source)
    cpu, _ = _timed(lambda: np.copyto(target, source))
    return len(source) / cpu


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    used, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    work()
    wall, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, wall


if __name__ == "__main__":
    told = json.loads(sys.stdin.read())
    print(json.dumps(asdict(run(Format(**told["form"]), told["place"]))))

"""`predict` beside bare work: `python -m benchmarks.predicting MODEL FOLDER`.

The films (JPEG, PNG) below FOLDER are put into a bucket again and again, under other names, until
there are as many as asked for. Bare is a process a core, each with one thread of torch, that reads
its films, decodes them by Pillow and the model's recipe, and predicts 64 at once: once from the
same bucket, by threads that read ahead, and once from memory. Bare and `predict` are measured in
turn, by the clock and by the CPU time of their processes; the store's, on the same cores, is not
counted. Then `predict` is killed in its middle and started again.
"""

import argparse
import io
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from PIL import Image, ImageOps

from benchmarks import packing
from rayograph import storage
from rayograph.evaluate.model import load
from tests import seaweed

BATCH, READERS = 64, 8


def main() -> None:
    """Measure, and print a line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a model file")
    parser.add_argument("films", type=Path)
    parser.add_argument("--count", type=int, default=20_000, help="films to predict")
    parser.add_argument("--bare", type=int, default=2_000, help="films of a bare measurement")
    parser.add_argument("--rounds", type=int, default=1)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweed.store(Path(folder, "s3")) as store:
        os.environ.update(store)
        source, out = f"s3://{seaweed.BUCKET}/films", f"s3://{seaweed.BUCKET}/out.parquet"
        films = packing.originals(told.films)
        data = [film.read_bytes() for film in films[: told.count]]
        with ThreadPoolExecutor(8) as pool:
            places = [f"{source}/{i:07}.jpeg" for i in range(told.count)]
            list(pool.map(storage.write, places, (data[i % len(data)] for i in range(told.count))))
        few = places[:: max(1, told.count // told.bare)]
        print(f"{told.count} films, {sum(map(len, data)) / len(data) / 1000:.1f} kB each")
        for _ in range(told.rounds):
            before = [bare(told.model, few, memory) for memory in (False, True)]
            found = predicted(told.model, source, out)
            after = [bare(told.model, few, memory) for memory in (False, True)]
            _tell(told.count, [before, after], found)
            storage.delete([out])
        killed(told.model, source, out, told.count)


def _tell(count: int, bares: list[list[tuple[float, float]]], found: "Watched") -> None:
    rate, cpu = count / found.seconds, 1000 * found.cpu / count
    steady = found.steady
    print(
        f"predict {rate:.0f}/s with its start, {steady:.0f}/s without, {cpu:.2f} ms of CPU a film "
        f"with its start, {1000 * found.steady_cpu:.2f} without"
    )
    for name, each in zip(("bucket", "memory"), zip(*bares, strict=True), strict=True):
        seen, spent = (statistics.mean(values) for values in zip(*each, strict=True))
        print(
            f"bare from {name} {seen:.0f}/s, {1000 * spent:.2f} ms a film; predict is "
            f"{rate / seen:.2f} of it with its start, {steady / seen:.2f} without; by CPU time "
            f"{spent / found.steady_cpu:.2f} without"
        )
    print("MB resident, driver and largest worker, by share of the films done:")
    for share, driver, worker in found.memory:
        print(f"  {share:4.0%}  {driver:6.0f}  {worker:6.0f}")


class Watched:
    """A `predict` that runs: its CPU time and memory, looked at every second."""

    def __init__(self, model: str, source: str, out: str) -> None:
        words = ["-m", "rayograph", "predict", model, source, out]
        self._began = time.monotonic()
        self._parts = f"{out}.parts"
        self.process = subprocess.Popen([sys.executable, *words], start_new_session=True)
        self._cpu: dict[int, float] = {}
        self._looks: list[tuple[float, int, float, float, float]] = []

    def look(self) -> int:
        """How many parts are kept by now."""
        parts = sum(1 for _ in storage.listing(self._parts))
        driver, worker = 0.0, 0.0
        try:
            own = psutil.Process(self.process.pid)
            driver = own.memory_info().rss / 1e6
            for each in (own, *own.children(recursive=True)):
                times = each.cpu_times()
                self._cpu[each.pid] = times.user + times.system
                if "_Worker" in " ".join(each.cmdline()):
                    worker = max(worker, each.memory_info().rss / 1e6)
        except psutil.Error:
            pass  # it has just ended
        self._looks.append((time.monotonic(), parts, sum(self._cpu.values()), driver, worker))
        return parts

    def end(self) -> None:
        """Wait for its end."""
        while self.process.poll() is None:
            self.look()
            time.sleep(1)
        assert self.process.returncode == 0
        self.seconds = time.monotonic() - self._began
        self.cpu = sum(self._cpu.values())
        seen = [look for look in self._looks if look[1]]
        most = max(look[1] for look in seen)
        last = next(look for look in seen if look[1] == most)
        films = 128 * (most - seen[0][1])
        self.steady = films / (last[0] - seen[0][0])
        self.steady_cpu = (last[2] - seen[0][2]) / films
        every = max(1, len(seen) // 8)
        self.memory = [(p / most, driver, worker) for _, p, _, driver, worker in seen[::every]]


def predicted(model: str, source: str, out: str) -> Watched:
    """A whole `predict`, watched."""
    watched = Watched(model, source, out)
    watched.end()
    return watched


def killed(model: str, source: str, out: str, count: int) -> None:
    """Kill it in its middle, start it again, and say how long either took."""
    first = Watched(model, source, out)
    while 128 * (parts := first.look()) < count / 2:
        time.sleep(1)
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    print(f"killed with {128 * parts} of {count} films kept")
    again = predicted(model, source, out)
    print(f"started again it took {again.seconds:.0f} s")


def bare(model: str, places: list[str], memory: bool) -> tuple[float, float]:
    """Films a second of a process a core, and seconds of CPU a film, without their start."""
    cores = len(os.sched_getaffinity(0))
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        shares = [(model, places[i::cores], memory) for i in range(cores)]
        ends = pool.starmap(_bare, shares, chunksize=1)
    began, ended, spent = zip(*ends, strict=True)
    return len(places) / (max(ended) - max(began)), sum(spent) / len(places)


def _bare(model: str, places: list[str], memory: bool) -> tuple[float, float, float]:
    """When it began and ended, and the CPU time between."""
    torch.set_num_threads(1)
    loaded = load(model, torch.device("cpu"))
    size = loaded.card.recipe.size  # type: ignore[union-attr]
    data = [storage.read(place) for place in (places if memory else places[:READERS])]
    _forward(loaded, [np.zeros((size, size), np.uint8)] * BATCH)
    began, spent = time.monotonic(), time.process_time()
    batch = []
    for original in data if memory else _read(places):
        with Image.open(io.BytesIO(original)) as picture:
            gray = picture.convert("L")
        batch.append(np.array(ImageOps.fit(gray, (size, size), Image.Resampling.LANCZOS)))
        if len(batch) == BATCH:
            _forward(loaded, batch)
            batch = []
    if batch:
        _forward(loaded, batch)
    return began, time.monotonic(), time.process_time() - spent


def _read(places: list[str]) -> Iterator[bytes]:
    """Each object, read ahead by a few threads."""
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(places), BATCH):
            yield from pool.map(storage.read, places[start : start + BATCH])


@torch.inference_mode()
def _forward(loaded: Any, batch: list[Any]) -> None:
    (sees,) = loaded.transform.views(torch.from_numpy(np.stack(batch)))
    loaded.network(sees).numpy()


if __name__ == "__main__":
    main()

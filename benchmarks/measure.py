"""One measurement in processes of their own: `python -m benchmarks.measure`, a job on its input.

A process says `up` when the reader's imports are done, waits for a line, so that all ranks start
together, reads, and answers with one JSON line.
"""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from benchmarks.job import Job, Measured, Result
from benchmarks.look import hash_sum, signatures
from benchmarks.readers import READERS

LONGEST_S = 150  # of a measurement; then it is ended
ENDING_S = 20  # of a process that has told its result
TICKS = os.sysconf("SC_CLK_TCK")


def measure(job: Job, work: Path, truth: frozenset[bytes], xxh3_sum: int) -> Result:
    """All ranks of `job` together, with fresh caches; RuntimeError where a process fails."""
    scratch = Path(tempfile.mkdtemp(dir=work, prefix="scratch-"))
    try:
        jobs = [replace(job, rank=rank, scratch=str(scratch)) for rank in range(job.world)]
        ranks = _together(jobs, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    films = sum(rank.films for rank in ranks)
    ended = max(rank.ended for rank in ranks)
    return Result(
        films_s=films / (ended - min(rank.opened for rank in ranks)),
        cpu_ms=1000 * sum(rank.cpu_s for rank in ranks) / films,
        first_s=max(rank.first - rank.asked for rank in ranks),
        peak_mb=max(rank.peak_mb for rank in ranks) - base_mb(),
        seconds=ended - min(rank.asked for rank in ranks),
        notes=_faults(job, ranks, truth, xxh3_sum),
    )


def _faults(
    job: Job, ranks: list[Measured], truth: frozenset[bytes], xxh3_sum: int
) -> tuple[str, ...]:
    if job.whole:
        found = sum(int(rank.signatures, 16) for rank in ranks)
        return () if found == xxh3_sum else ("OTHER PIXELS than the corpus's",)
    width = 2 * len(next(iter(truth)))
    texts = "".join(rank.signatures for rank in ranks)
    seen = Counter(texts[i : i + width] for i in range(0, len(texts), width))
    known = {signature.hex() for signature in truth}
    repeated, foreign = seen.total() - len(seen), len(seen.keys() - known)
    slow = any(rank.ended - rank.opened >= job.seconds for rank in ranks)
    missed = 0 if slow or job.batches or job.start else len(known - seen.keys())
    counts = {"REPEATED": repeated, "FOREIGN": foreign, "MISSED": missed}
    faults = [f"{count} films {what}" for what, count in counts.items() if count]
    return (*faults, *([f"ended after {job.seconds:.0f} s"] if slow else []))


def _together(jobs: list[Job], scratch: Path) -> list[Measured]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [_start(job, scratch, port) for job in jobs]
    limits = [threading.Timer(LONGEST_S, process.kill) for process in processes]
    try:
        for limit in limits:
            limit.start()
        for process in processes:
            _line(process, "up", scratch)
        for process in processes:
            print("go", file=process.stdin, flush=True)
        return [Measured(**json.loads(_line(process, "{", scratch))) for process in processes]
    finally:
        for limit in limits:
            limit.cancel()
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(job: Job, scratch: Path, port: int) -> "subprocess.Popen[str]":
    ranks = {
        "RANK": job.rank, "LOCAL_RANK": job.rank, "GLOBAL_RANK": job.rank,
        "WORLD_SIZE": job.world, "LOCAL_WORLD_SIZE": job.world, "NNODES": 1,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
    }  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_TRAIN_V2_ENABLED": "1"}
    if job.world > 1:
        environment |= {name: str(value) for name, value in ranks.items()}
    with (scratch / f"log-{job.rank}").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measure"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
        )  # fmt: skip
    print(job.dumps(), file=process.stdin, flush=True)
    return process


def _line(process: "subprocess.Popen[str]", start: str, scratch: Path) -> str:
    """The next line that begins so; peers print lines of their own."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return line
    logs = " … ".join(path.read_text().strip()[-600:] for path in sorted(scratch.glob("log-*")))
    raise RuntimeError(" ".join(logs.split()) or f"ended with {process.wait()}")


@lru_cache(1)
def base_mb() -> float:
    """The peak of a process that has only imported torch."""
    script = "import torch; from benchmarks.measure import _peak_mb; print(_peak_mb([]))"
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def _peak_mb(children: list[int]) -> float:
    """Peak resident memory of this process, and of those that it started, in MB."""
    total = 0
    for process in ("self", *children):
        with suppress(OSError):
            status = Path(f"/proc/{process}/status").read_text()
            total += int(status.partition("VmHWM:")[2].split()[0])
    return total * 1024 / 1e6


def descendants(process: int | str = "self") -> list[int]:
    """Every process below this one."""
    found: list[int] = []
    with suppress(OSError):  # it may end meanwhile
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def _cpu_s(children: list[int]) -> float:
    """CPU seconds of this process, of its children that ended, and of all below it."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total + sum(map(cpu_s_of, children))


def cpu_s_of(process: int) -> float:
    """CPU seconds of a process and of its children that ended; 0 where there is none."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0


def read(job: Job) -> Measured:
    """Read as the job says and look at every film."""
    if job.warm:
        store, folder = job.warm
        small = replace(job, store=store, folder=folder, scratch=f"{job.scratch}/warm")
        for _ in READERS[job.reader](small):
            pass
    batches = READERS[job.reader](job)
    next(batches)
    print("up", flush=True)
    sys.stdin.readline()
    asked = time.monotonic()
    next(batches)
    before, opened = _cpu_s(descendants()), time.monotonic()
    films, whole, first, seen = 0, 0, 0.0, []
    for count, batch in enumerate(batches, 1):
        first = first or time.monotonic()
        films += len(batch)
        if job.whole:
            whole += hash_sum(batch)
        else:
            seen.append(signatures(batch))
        if count == job.batches or time.monotonic() - opened > job.seconds:
            break
    ended, children = time.monotonic(), descendants()
    cpu, peak_mb = _cpu_s(children) - before, _peak_mb(children)
    batches.close()
    text = f"{whole:x}" if job.whole else b"".join(part.tobytes() for part in seen).hex()
    return Measured(films, asked, opened, first, ended, cpu, peak_mb, text)


if __name__ == "__main__":
    print(json.dumps(asdict(read(Job.loads(sys.stdin.readline())))), flush=True)

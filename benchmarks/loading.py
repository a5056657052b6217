"""Reading shuffled batches of whole packed films, measured: `make bench`.

Every reader reads the same pixels from the same store, in a process of its own, in turn: ours, the
first peer, the next one, and again. The limits of the machine are measured right before and right
after ours, since what a core does in a second changes from minute to minute.
What is counted, and how: `job.Measured`, `readers`, `limits`.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import ValidationError

from benchmarks import corpus, limits, measure, report, writers
from benchmarks.corpus import Corpus
from benchmarks.job import BATCH, Format, Job, Result
from benchmarks.proxy import Counted, Endpoint, proxy
from benchmarks.rows import EVERYONE, FULL, QUICK, ROWS, Row, Sizes
from tests import seaweed

UNTIL_THE_END = 1e9  # seconds
BUSY = 0.6  # of a core, from which on the proxy is named in the table


def main() -> None:
    """Make the corpora, check every reader's pixels, run the rounds, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder that keeps the corpora for a later run")
    parser.add_argument("--out", type=Path, default=Path("loading.json"), help="JSON of all of it")
    parser.add_argument("--quick", action="store_true", help="seconds a reader: does it work?")
    parser.add_argument("--rounds", type=int, help="each takes some eight minutes; 3")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else the store would outlive it
    sizes = QUICK if chosen.quick else FULL
    sizes = replace(sizes, rounds=chosen.rounds or sizes.rounds)
    with tempfile.TemporaryDirectory() as temporary:
        work = (chosen.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        with seaweed.store(work / "store") as environment:
            os.environ.update(environment)
            found = run(sizes, work)
    print(report.text(found))
    chosen.out.write_text(json.dumps(asdict(found), indent=1))


def run(sizes: Sizes, work: Path) -> report.Found:
    """Everything, in order; a reader that fails has its reason in the table."""
    corpora, problems = prepare(sizes, work)
    rows = [row for row in ROWS if row.format in corpora]
    found = report.Found(problems=problems)
    for row in rows:
        for reader in row.readers:
            if not writers.installed(reader):
                found.problems[f"{row.name}: {reader}"] = "not installed"
    check_pixels(found, corpora, work)
    for turn in range(sizes.rounds):
        say(f"round {turn + 1} of {sizes.rounds}")
        for row in rows:
            say(f"  {row.name}")
            made = corpora[row.format]
            with distance(row) as line:
                for reader in row.readers:
                    if f"{row.name}: {reader}" not in found.problems:
                        task = job(row, made, reader, sizes.seconds)
                        with beside(found, row, made) if reader == "ours" else nullcontext():
                            attempt(found, row.name, task, made, work, line)
    return found


@contextmanager
def beside(found: report.Found, row: Row, made: Corpus) -> Iterator[None]:
    """Measure the limits before and after what is done within the block."""
    if row.name not in report.SHARED:
        yield
        return
    place = f"{made.store}/ours"
    before = limits.measure(made.format, place)
    yield
    found.limits.setdefault(row.name, []).extend((before, limits.measure(made.format, place)))


def check_pixels(found: report.Found, corpora: dict[str, Corpus], work: Path) -> None:
    """One untimed epoch of every reader, in which each film's xxh3 counts."""
    for form, made in corpora.items():
        say(f"checking every reader's pixels, {form}")
        for reader in filter(writers.installed, EVERYONE):
            task = job(Row(form, form, (), cold=True), made, reader, UNTIL_THE_END)
            task = replace(task, batches=None, whole=True)
            unseen = report.Found(problems=found.problems)
            attempt(unseen, f"{form}, every pixel", task, made, work)
            for results in unseen.results.values():
                for note in results[reader][0].notes:
                    found.problems[f"{form}, every pixel: {reader}"] = note


def prepare(sizes: Sizes, work: Path) -> tuple[dict[str, Corpus], dict[str, str]]:
    """The corpora by the format's name, and why one could not be made."""
    formats = (
        Format("raw256", 256, "raw", 0, sizes.small),
        Format("jpeg256", 256, "jpeg", 95, sizes.small),
        Format("jpeg1024", 1024, "jpeg", 90, sizes.large),
    )
    corpora, problems = {}, {}
    for form in formats:
        say(f"corpus {form.name}, {form.films} films")
        try:
            corpora[form.name] = corpus.build(form, work, f"s3://{seaweed.BUCKET}")
        except ValidationError as error:  # a codec that the packer does not know
            problems[form.name] = f"not packed: {error.errors()[0]['msg']}"
    return corpora, problems


def job(row: Row, made: Corpus, reader: str, seconds: float) -> Job:
    """What the processes of one measurement are told."""
    forks = reader in ("ray_data", "image_folder")  # on both cores by processes of their own
    return Job(
        reader, made.format, made.store, made.folder, scratch="",
        warm=None if row.cold or row.middle else made.warm,
        world=2 if row.both and not forks else 1,
        cores=2 if row.both and forks else 1,
        start=made.format.films // BATCH // 2 if row.middle else 0,
        batches=1 if row.cold or row.middle else None,
        seconds=UNTIL_THE_END if row.cold or row.middle else seconds,
    )  # fmt: skip


def attempt(
    found: report.Found, row: str, task: Job, made: Corpus, work: Path, line: Endpoint | None = None
) -> None:
    """Measure, and note the result or the reason why there is none."""
    began, before = time.monotonic(), line.counted() if line else None
    try:
        result = measure.measure(task, work, made.signatures, made.xxh3_sum)
    except (RuntimeError, OSError) as error:
        found.problems[f"{row}: {task.reader}"] = str(error)[-300:]
        return
    if line and before:
        result = counted(result, before, line.counted())
    say(f"    {task.reader}: {result.films_s:,.0f} films/s, {time.monotonic() - began:.1f} s")
    found.add(row, task.reader, result)


def counted(result: Result, before: Counted, after: Counted) -> Result:
    """With the bytes that the proxy saw, and whether its own CPU was in the way."""
    busy = (after.cpu_s - before.cpu_s) / result.seconds
    notes = (*result.notes, "the proxy was busy") if busy > BUSY else result.notes
    return replace(result, fetched_mb=(after.bytes - before.bytes) / 1e6, notes=notes)


@contextmanager
def distance(row: Row) -> Iterator[Endpoint | None]:
    """The store as far away as the row says; first batches count what went over the line."""
    near = os.environ["AWS_ENDPOINT_URL"]
    if not (row.latency_s or row.middle or row.cold):
        yield None
        return
    with proxy(near, row.latency_s, row.bytes_per_s) as far:
        os.environ["AWS_ENDPOINT_URL"] = far
        try:
            yield far
        finally:
            os.environ["AWS_ENDPOINT_URL"] = near


def say(text: str) -> None:
    """What is going on, to the terminal alone."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

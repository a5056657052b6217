"""`python -m tests.fuzz --cases 20000`: reads so many hostile files; exit status 0 if all is well.

Each way to fail is told once, and the files of its first case are kept. A case that took the
process down lies where the last line says.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, settings

from rayograph.data.dataset import Dataset
from tests.fuzz import artefacts
from tests.fuzz.guard import Guard
from tests.fuzz.targets import Files, Target, all_targets


def main() -> None:
    """Run every target, or those whose name holds `--only`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="in all")
    parser.add_argument("--only", default="", help="expression that the targets' names match")
    parser.add_argument("--random", action="store_true", help="other cases each time")
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    memory = Path("/dev/shm")  # a disk would wait for each file that is flushed
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    corpus = scratch / "corpus"
    artefacts.datasets(corpus)
    artefacts.runs(corpus, Dataset.open(str(corpus / "raw")))
    targets = all_targets(corpus)
    each = words.cases / sum(target.share for target in targets)
    tempfile.tempdir = str(scratch / "tmp")
    Path(tempfile.tempdir).mkdir()
    guard, began, cases, found = Guard(tempfile.tempdir), time.monotonic(), 0, 0
    for target in (target for target in targets if re.search(words.only, target.name)):
        start, count = time.monotonic(), max(1, round(each * target.share))
        place = scratch / "case" / target.name.replace("/", "-").replace(" ", "-")
        print(f"{target.name}: {count} cases, the last in {place}", end="", flush=True)
        done, failures = _run(target, count, guard, place, not words.random)
        print(f": {done} in {time.monotonic() - start:.1f} s", flush=True)
        for number, (how, example) in enumerate(failures.items()):
            kept = place.with_name(f"{place.name}.{number}")
            for name, data in example.items():
                (kept / name).parent.mkdir(parents=True, exist_ok=True)
                (kept / name).write_bytes(data)
            print(f"    {how}\n        kept in {kept}", flush=True)
        cases, found = cases + done, found + len(failures)
    print(f"{cases} cases in {time.monotonic() - began:.0f} s, {found} ways to fail")
    if not found:
        shutil.rmtree(scratch)
    sys.stdout.flush()
    os._exit(bool(found))  # whatever threads a case has left


def _run(
    target: Target, count: int, guard: Guard, place: Path, derandomize: bool
) -> tuple[int, dict[str, Files]]:
    """How many cases there were, and the first one of each way to fail."""
    done, failures = 0, dict[str, Files]()

    @settings(
        max_examples=count, derandomize=derandomize, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(target.hostile)
    def cases(hostile: Files) -> None:
        nonlocal done
        shutil.rmtree(place, ignore_errors=True)
        for name, data in {**target.files, **hostile}.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        done += 1
        try:
            with guard.case(place, target.most):
                target.read(place)
        except Exception as error:
            failures.setdefault(_how(error), hostile)

    cases()
    return done, failures


def _how(error: Exception) -> str:
    """Which error came from where in the package, without the values in it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "rayograph" in f.filename] or frames[-1:]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    deepest = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    message = " ".join(str(error).split())[:160] if isinstance(error, AssertionError) else ""
    words = "".join("0" if c.isdigit() else c for c in message)
    return f"{type(error).__name__} at {where} ({deepest}) {words}".strip()


if __name__ == "__main__":
    main()

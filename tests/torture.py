"""Runs that are interrupted at random moments must be the runs that were not, to the bit.

`python -m tests.torture --faults 24 --seed 0` trains with 2 and with 3 workers under Ray, each once
undisturbed and then with kill -9 of a worker, of the driver, and of the store, whatever chance
says; it compares histories (the losses, and how many films and which), and the final weights.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from tests import seaweed
from tests.head import REPOSITORY

WORDS = (
    "phantom.films=1600", "phantom.size=32", "data.image_size=32", "model.width=8", "model.depth=2",
    "model.dropout=0.2", "train.batch_size=20", "train.epochs=12", "checkpoint.every=5 steps",
    "checkpoint.keep=all", "optim.lr=1e-3",
)  # fmt: skip
KINDS = ("worker", "driver", "store")
AWAY_S = (1.0, 15.0)
LONGEST_S = 600


@dataclass
class Store:
    """SeaweedFS that can be killed and comes back with what it had, under the same address."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    _stack: Any = None

    def start(self) -> None:
        port = (
            int(self.environment["AWS_ENDPOINT_URL"].rpartition(":")[2]) if self.environment else 0
        )
        self._stack = seaweed.store(self.folder, port=port or None)
        self.environment = self._stack.__enter__()

    def kill(self) -> None:
        self._stack.__exit__(None, None, None)  # SIGKILL


class Run:
    """A training run whose command is given again for as long as it takes."""

    def __init__(self, store: Store, workers: int, name: str, log: Path) -> None:
        self._words = [
            *WORDS, f"cluster.workers={workers}", f"run.name={name}",
            f"run.storage=s3://{seaweed.BUCKET}/torture",
        ]  # fmt: skip
        self.store = store
        self.log = log
        self.uri = f"s3://{seaweed.BUCKET}/torture/{name}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rayograph.cli", "train", "demo", *self._words],
                cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.store.environment, "RAY_DEDUP_LOGS": "0"},
            )  # fmt: skip

    def workers(self) -> list[int]:
        """The processes that train, as the operating system shows them."""
        assert self.process is not None
        return [pid for pid in descendants(self.process.pid) if "RayTrainWorker" in title(pid)]

    def kill_driver(self) -> None:
        """The driver alone; Ray's own processes end with it, or are ended where they do not."""
        assert self.process is not None
        below = descendants(self.process.pid)
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 20
        while any(alive(pid) for pid in below) and time.monotonic() < deadline:
            time.sleep(0.2)
        for pid in filter(alive, below):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def finish(self) -> None:
        assert self.process is not None
        assert self.process.wait(LONGEST_S) == 0, self.log.read_text()[-3000:]

    def result(self) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
        """The history without its times, and the last checkpoint's weights."""
        os.environ.update(self.store.environment)
        from rayograph import storage
        from rayograph.train.folder import RunFolder

        folder = RunFolder(self.uri)
        rows = [
            {
                k: v
                for k, v in row.items()
                if not k.endswith("_s") and k not in ("seconds", "checkpoint")
            }
            for row in folder.history()
        ]
        weights = storage.fetch(f"{folder.checkpoints()[len(rows)]}/model.safetensors")
        return rows, safetensors.torch.load(weights)


def title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def descendants(pid: int) -> list[int]:
    with suppress(OSError):
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return [each for child in children for each in (child, *descendants(child))]
    return []


def interrupt(run: Run, kind: str, chance: random.Random) -> None:
    """One fault."""
    if kind == "worker":
        with suppress(ProcessLookupError):
            os.kill(chance.choice(run.workers()), signal.SIGKILL)
    elif kind == "driver":
        run.kill_driver()
        run.start()
    else:
        run.store.kill()
        time.sleep(chance.uniform(*AWAY_S))
        run.store.start()


def tortured(run: Run, faults: int, chance: random.Random) -> Counter[str]:
    """Interrupt a run so many times, each some steps after it trains again; then let it finish."""
    assert run.process is not None
    done: Counter[str] = Counter()
    while sum(done.values()) < faults and run.process.poll() is None:
        deadline = time.monotonic() + LONGEST_S
        while not run.workers() and run.process.poll() is None:
            assert time.monotonic() < deadline, "no worker came back"
            time.sleep(0.1)
        time.sleep(chance.uniform(2, 12))
        if run.process.poll() is None and run.workers():
            kind = chance.choice(KINDS)
            print(f"{time.strftime('%H:%M:%S')} {run.uri}: kill -9 of the {kind}", flush=True)
            interrupt(run, kind, chance)
            done[kind] += 1
    return done


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    store.start()
    try:
        yield store
    finally:
        store.kill()


def torture(faults: int, seed: int, sizes: tuple[int, ...] = (2, 3)) -> dict[str, Any]:
    """The faults that were made, by number of workers, and whether all came out the same."""
    chance, report = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as scratch, stored(Path(scratch) / "store") as store:
        for workers in sizes:
            log = Path(scratch) / f"{workers}.log"
            whole = Run(store, workers, f"whole-{workers}", log)
            whole.start()
            whole.finish()
            left, number, made = faults // len(sizes), 0, Counter[str]()
            while left > 0:  # a run may be over before it had all of them; then there is another
                broken = Run(store, workers, f"broken-{workers}-{number}", log)
                broken.start()
                found = tortured(broken, left, chance)
                broken.finish()
                (rows, weights), (a, b) = broken.result(), whole.result()
                assert rows == a, f"{broken.uri}: another history\n{rows}\n{a}"
                assert all(torch.equal(weights[name], b[name]) for name in b), broken.uri
                left, number = left - sum(found.values()), number + 1
                made += found
            report[str(workers)] = {"runs": number, "faults": dict(made)}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    print(json.dumps(torture(words.faults, words.seed)))


if __name__ == "__main__":
    main()

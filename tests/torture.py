"""Runs that are interrupted at random moments must be the runs that were not, to the bit.

`python -m tests.torture` trains under Ray with 2 and with 3 workers, each once undisturbed, and
then again and again with kill -9 of a worker, of the driver (whose command is then given again),
and of the store (which comes back with what it had). It compares the histories (the losses, and how
many films of each epoch and which), the last model and the best one. Exit status 1: one differs.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psutil
import safetensors.torch
import torch

from rayograph import storage
from rayograph.runs.folder import RunFolder
from tests import seaweed
from tests.conftest import REPOSITORY

EPOCHS = 12
WORDS = (
    "phantom.films=1600", "phantom.size=32", "data.image_size=32", "model.width=8", "model.depth=2",
    "model.dropout=0.2", "train.batch_size=20", f"train.epochs={EPOCHS}", "optim.lr=1e-3",
    "checkpoint.keep=all", f"run.storage=s3://{seaweed.BUCKET}/torture",
)  # fmt: skip
WITHIN = "checkpoint.every=10 steps"  # the undisturbed runs go without, and are the same
KINDS = ("worker", "driver", "store")
MOMENTS = ("start", "training", "saving")  # a run's last fault waits for its end
FAULTS_A_RUN = 6
AWAY_S = (1.0, 15.0)  # the store, before it is started again
DOWN_S = (0.0, 10.0)  # the driver, before its command is given again
LONGEST_S = 400
# Torch loads this wherever it is imported (entry points of the group torch.backends): each
# optimizer step is a byte in a file that is named after the process, so repeated ones are counted.
COUNTER = """
import os, pathlib
def load():
    from torch.optim.optimizer import register_optimizer_step_post_hook as after_step
    def count(*_):
        with pathlib.Path(__file__).with_name(f"{os.getpid()}.steps").open("ab") as file:
            file.write(b".")
    after_step(count)
"""


class Store:
    """SeaweedFS that can be killed, and comes back with what it had at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, seaweed.free_ports(seaweed.SERVICES)
        self.start()

    def start(self) -> None:
        self._stack = ExitStack()
        os.environ.update(self._stack.enter_context(seaweed.store(self._folder, port=self._port)))

    def close(self) -> None:
        self._stack.close()  # kill -9


class Run:
    """A training run whose command is given again for as long as it takes."""

    def __init__(self, name: str, workers: int, scratch: Path, *words: str) -> None:
        self.name, self.workers, self.log = name, workers, scratch / f"{name}.log"
        self.folder = RunFolder(f"s3://{seaweed.BUCKET}/torture/{name}")
        self.drivers = 0
        self._words = [*WORDS, f"cluster.workers={workers}", f"run.name={name}", *words]
        self._steps = scratch / f"{name}.counter"
        entry = self._steps / "counter-1.dist-info" / "entry_points.txt"
        entry.parent.mkdir(parents=True)
        entry.write_text("[torch.backends]\ncounter = counter:load\n")
        (self._steps / "counter.py").write_text(COUNTER)
        self.torn: set[str] = set()
        self.start()

    def start(self) -> None:
        self.drivers += 1
        path = f"{self._steps}:{os.environ.get('PYTHONPATH', '')}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rayograph", "train", "demo", *self._words],
                cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip

    def close(self) -> None:
        self.process.kill()

    def over(self) -> bool:
        """Whether the command has ended; where it did not reach the store, it is given again."""
        if self.process.poll() == 1:
            last = self.log.read_text().rstrip().rpartition("\n")[2]
            if ": cannot " in last and "training failed" not in last:
                self.start()
        return self.process.poll() is not None

    def trainers(self) -> list[int]:
        """The workers' processes, as the operating system shows them."""
        found = []
        with suppress(psutil.Error):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    found += [process.pid] * ("RayTrainWorker" in " ".join(process.cmdline()))
        return found

    def steps(self, pids: Sequence[int] | None = None) -> list[int]:
        """How many steps each process that trained, or each of these, has made."""
        files = self._steps.glob("*.steps")
        return [f.stat().st_size for f in files if pids is None or int(f.stem) in pids]

    def saving(self) -> str | None:
        """The checkpoint that is being written: its first file is there, the next ones are not."""
        found: dict[str, set[str]] = {}
        for entry in storage.listing(self.folder.uri):
            place, _, name = entry.uri.rpartition("/")
            found.setdefault(place.rpartition("/")[2], set()).add(name)
        torn = {name for name, files in found.items() if files == {"model.safetensors"}}
        return max(torn - self.torn, default=None)

    def doing(self) -> str:
        """What it does at this moment, in words."""
        rows, pids = len(self.folder.history()), self.trainers()
        made = max(self.steps(pids), default=0)
        if rows == EPOCHS:
            return "ending"
        if made == 0:
            return "starting the workers" if pids else "starting, no worker yet"
        act = f"writing {name.rsplit('_', 1)[0]}" if (name := self.saving()) else "training"
        return f"{act}, epoch {rows + 1}, {made} steps after a start"

    def interrupt(self, kind: str, store: Store, chance: random.Random) -> bool:
        """Kill -9, and bring back what does not come back by itself; False where it was late."""
        if kind == "worker":
            with suppress(ProcessLookupError, IndexError):
                os.kill(chance.choice(self.trainers()), signal.SIGKILL)
                return True
            return False
        if kind == "driver":
            self.process.kill()
            killed = self.process.wait() == -signal.SIGKILL
            time.sleep(chance.uniform(*DOWN_S))
            self.start()
            return killed
        store.close()
        time.sleep(chance.uniform(*AWAY_S))
        store.start()
        return True

    def finish(self) -> None:
        until(self, lambda: False)
        status = self.process.returncode
        told = self.log.read_text()[-6000:]  # a driver that is killed last may have finished all
        assert status == 0 or (status == 2 and "this run is finished" in told), told
        assert not self.folder.snapshots(), f"{self.name}: snapshots are left"

    def result(self) -> tuple[Any, list[dict[str, torch.Tensor]]]:
        """The history without what depends on the machine's mood; the last and the best model."""
        moody = ("seconds", "checkpoint")
        history = [
            {k: v for k, v in row.items() if not k.endswith("_s") and k not in moody}
            for row in self.folder.history()
        ]
        last = storage.join(self.folder.checkpoints()[EPOCHS], "model.safetensors")
        places = (last, self.folder.best_model)
        return history, [safetensors.torch.load(storage.fetch(place)) for place in places]


def say(run: Run, what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {run.name:8}  {what}", flush=True)


def until(run: Run, ready: Callable[[], Any]) -> bool:
    """Wait; False where the run is over before."""
    deadline = time.monotonic() + LONGEST_S
    while not run.over():
        if ready():
            return True
        assert time.monotonic() < deadline, run.log.read_text()[-6000:]
        time.sleep(0.02)
    return False


def await_moment(run: Run, kind: str, moment: str, chance: random.Random) -> bool:
    """Wait for a random instant of a moment; False where the run is over before."""
    if moment == "start":
        time.sleep(chance.uniform(0, 15))
    elif moment == "end":
        until(run, lambda: len(run.folder.history()) == EPOCHS)
        time.sleep(chance.uniform(0, 0.5))
    else:
        until(run, lambda: run.steps(run.trainers()))
        time.sleep(chance.uniform(0, 5))
        until(run, lambda: moment != "saving" or run.saving())
    return until(run, lambda: kind != "worker" or run.trainers())


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal to the bit."""
    return a[0] == b[0] and all(
        x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in y)
        for x, y in zip(a[1], b[1], strict=True)
    )


def tortured(run: Run, kinds: Sequence[str], store: Store, chance: random.Random) -> Counter[str]:
    """Interrupt a run, the last time at its end, let it finish, and count what came in time."""
    made: Counter[str] = Counter()
    for number, kind in enumerate(kinds):
        last = 0 < number == len(kinds) - 1
        if await_moment(run, kind, "end" if last else chance.choice(MOMENTS), chance):
            say(run, f"kill -9 of the {kind:6}  {run.doing()}")
            made[kind] += run.interrupt(kind, store, chance)
            run.torn |= {run.saving() or ""}
    run.finish()
    return made


def torture(faults: int, sizes: Sequence[int], seed: int) -> bool:
    """Print each fault, then a table of the runs; whether all of them came out the same."""
    chance = random.Random(seed)
    kinds = [k for _ in range(0, faults, len(KINDS)) for k in chance.sample(KINDS, len(KINDS))]
    table = [("run", *KINDS, "drivers", "starts", "steps", "repeated", "to the bit")]
    whole, made, steps = dict[int, Any](), Counter[str](), 0
    with tempfile.TemporaryDirectory() as place, closing(Store(Path(place) / "store")) as store:
        while kinds:
            workers = sizes[(len(table) - 1) % len(sizes)]
            if workers not in whole:
                with closing(Run(f"whole-{workers}", workers, Path(place))) as run:
                    run.finish()
                whole[workers], steps = run.result(), max(run.steps())
                say(run, f"undisturbed, {steps} steps")
            now, kinds = kinds[:FAULTS_A_RUN], kinds[FAULTS_A_RUN:]
            with closing(Run(f"run-{len(table)}-{workers}", workers, Path(place), WITHIN)) as run:
                found = tortured(run, now, store, chance)
            kinds += (Counter(now) - found).elements()  # those that came too late
            made += found
            equal = "equal" if same(run.result(), whole[workers]) else "DIFFERENT"
            say(run, f"ended: {equal}")
            starts, done = len(run.steps()) / workers, sum(run.steps()) / workers
            figures = (run.drivers, f"{starts:g}", steps, f"{done - steps:.1f}", equal)
            table.append((run.name, *map(str, (*(found[kind] for kind in KINDS), *figures))))
            print("\n".join("  ".join(f"{cell:>9}" for cell in row) for row in table), flush=True)
    good = all(row[-1] == "equal" for row in table[1:])
    print(f"{made.total()} faults: {'all runs are equal to the bit' if good else 'NOT ALL ARE'}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=24, help="a multiple of 3")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    sys.exit(not torture(words.faults, words.workers, words.seed))


if __name__ == "__main__":
    main()

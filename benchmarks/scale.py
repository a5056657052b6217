"""A million films on 64 ranks: what opening, planning, seeking and reading cost each rank.

    python -m benchmarks.scale [--films N] [--world N] [--out FILE.json]

The manifest is of full size and has no pixels behind it; every figure is of a fresh process that
runs the package's own code. What ranks really ask of a store is counted at the store, by a proxy
for each rank, on a smaller dataset of 16-pixel films: all of 4 ranks, and three of 64.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import made
from benchmarks.targets import Figure, show
from rayograph import storage
from rayograph.data import order
from rayograph.data.dataset import Dataset

BATCH_ROWS, SHARD_ROWS, SIZE = 16, 1000, 256
BATCH = 4096  # films a global batch: 64 a rank
REAL_FILMS, REAL_BATCH, REAL_RANKS = 32_768, 64, {4: (0, 1, 2, 3), 64: (0, 31, 63)}
Told = dict[str, Any]


class Measured:
    """Seconds, and how far the process grew meanwhile at most, in MB."""

    def __enter__(self) -> "Measured":
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._memory = _status("VmRSS")
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self.grown = _status("VmHWM") - self._memory


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


def opened(place: str, _world: int) -> Told:
    """What `Dataset.open` costs."""
    storage.exists(place)
    storage.read(place + "/dataset.json")  # imports what reading needs
    with Measured() as cost:
        dataset = Dataset.open(place)
    films, batches = dataset.split("train").rows, len(dataset.split("train").batches)
    return {"seconds": cost.seconds, "grown": cost.grown, "films": films, "batches": batches}


def planned(place: str, world: int) -> Told:
    """What the plan of an epoch costs a rank, and a step on top of it."""
    dataset = Dataset.open(place)
    with Measured() as cost:
        plan = _plan(dataset, epoch=0)
    steps = np.random.default_rng(0).integers(0, plan.steps, 200).tolist()
    seeks = []
    for step in steps:
        began = time.perf_counter()
        plan.batch(step)
        plan.share(step, step % world, world)
        seeks.append(time.perf_counter() - began)
    return {
        "seconds": cost.seconds, "grown": cost.grown, "worst_seek": max(seeks),
        "cold": cost.seconds + seeks[0], "steps": plan.steps,
    }  # fmt: skip


def shared(place: str, world: int) -> Told:
    """What each rank would request in an epoch, over an even part; 1 is ideal."""
    dataset = Dataset.open(place)
    split, plan = dataset.split("train"), _plan(dataset, epoch=0)
    sizes = np.array([batch.bytes for _, batch in split.batches])
    number = np.repeat(np.arange(len(sizes)), split.batch_rows)
    needed = np.zeros((world, len(sizes)), dtype=bool)
    for step in range(plan.steps):
        numbers = number[plan.batch(step)]
        for rank in range(world):
            needed[rank, numbers[plan.share(step, rank, world)]] = True
    requests, volumes = needed.sum(1) * world / len(sizes), needed @ sizes * world / sizes.sum()
    return {
        "requests_mean": requests.mean(), "requests_worst": requests.max(),
        "bytes_mean": volumes.mean(), "bytes_worst": volumes.max(),
    }  # fmt: skip


def resized(place: str, world: int) -> Told:
    """Steps whose films differ from the plan where the ranks become fewer in mid-epoch; 0."""
    dataset = Dataset.open(place)
    before, after = _plan(dataset, epoch=0), _plan(dataset, epoch=0)  # a restart plans anew
    wrong, seen = 0, np.zeros(before.films, dtype=np.int64)
    for step in range(before.steps):
        plan, ranks = (before, world) if step < before.steps // 2 else (after, world * 3 // 4)
        shares = [plan.share(step, rank, ranks) for rank in range(ranks)]
        batch = np.full(len(plan.batch(step)), -1)
        for share in shares:
            batch[share] = plan.batch(step)[share]
        wrong += not np.array_equal(batch, before.batch(step))
        np.add.at(seen, batch, 1)
    return {"wrong": wrong, "missed": int((seen != 1).sum())}


def _plan(dataset: Dataset, epoch: int, batch: int = BATCH) -> order.Plan:
    rows = dataset.split("train").batch_rows
    return order.plan(rows, batch, dataset.manifest.fingerprint, seed=0, epoch=epoch)


def read(place: str, rank: int, world: int, start: int) -> Told:
    """A rank's epoch from a step on, read to its end."""
    from rayograph.data import stream

    dataset = Dataset.open(place)
    plan = _plan(dataset, 0, REAL_BATCH)
    rows_of = dataset.split("train").batch_rows
    number = np.repeat(np.arange(len(rows_of)), rows_of)
    needed: set[int] = set()
    for batch in stream.training(dataset, "train", plan, rank, world, start * plan.steps // 2):
        needed |= set(number[batch.rows].tolist())
    return {"needed": len(needed)}


CHILDREN = {"opened": opened, "planned": planned, "shared": shared, "resized": resized}


def child(name: str, *words: object, **environment: str) -> Told:
    """What a function of this file tells from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--child", name, *map(str, words)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE
    )
    told: Told = json.loads(done.stdout)
    return told


def counted() -> Told:
    """What ranks asked a real store for, over what they need; and on a resume from the middle."""
    from tests import faults, seaweed

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = stack.enter_context(seaweed.store(folder))
        os.environ.update(environment)
        place = f"s3://{seaweed.BUCKET}/scale"
        shard_rows = SHARD_ROWS // BATCH_ROWS * BATCH_ROWS
        made.dataset(place, REAL_FILMS, BATCH_ROWS, shard_rows, made.phantoms(16))
        volume = sum(batch.bytes for _, batch in Dataset.open(place).split("train").batches)
        told: dict[str, list[float]] = {}
        for world, ranks in REAL_RANKS.items():
            for rank in ranks:
                proxy = stack.enter_context(faults.between(environment["AWS_ENDPOINT_URL"]))
                for start in (0, 1):
                    proxy.requests.clear()
                    words = (place, rank, world, start)
                    own = child("read", *words, AWS_ENDPOINT_URL=proxy.endpoint)
                    gets = [r for r in proxy.requests if r.path.endswith(".arrows")]
                    name = f"{'resumed' if start else 'requests'}-{world}"
                    told.setdefault(name, []).append(len(gets) / own["needed"])
                    if not start:
                        over = sum(r.sent for r in gets) * world / volume
                        told.setdefault(f"bytes-{world}", []).append(over)
        return {name: max(values) for name, values in told.items()}


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=1_000_000)
    parser.add_argument("--world", type=int, default=64)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        name, place, *numbers = words.child
        told = (read if name == "read" else CHILDREN[name])(place, *map(int, numbers))
        print(json.dumps(told, default=float))
        return
    with tempfile.TemporaryDirectory() as folder:
        made.manifest(folder, words.films, BATCH_ROWS, SHARD_ROWS, SIZE)
        size = (Path(folder) / "dataset.json").stat().st_size / 1e6
        told = {name: child(name, folder, words.world) for name in CHILDREN}
    report(size, words, told, counted())


def report(size: float, words: argparse.Namespace, told: dict[str, Told], real: Told) -> None:
    """Each figure with its target."""
    open_, plan, share, resize = (told[name] for name in CHILDREN)
    world, fewer = words.world, words.world * 3 // 4
    figures = [
        Figure("open and validate the manifest", open_["seconds"], "s", most=1),
        Figure("memory of that", open_["grown"], "MB", most=100),
        Figure("plan of an epoch", plan["seconds"], "s", most=1),
        Figure("memory of that, a rank", plan["grown"], "MB", most=200),
        Figure("seek to a step, plan at hand, worst of 200", plan["worst_seek"] * 1e3, "ms", 50),
        Figure("plan and seek, cold", plan["cold"], "s", most=1),
        Figure(f"record batches a rank, over 1/{world}: mean", share["requests_mean"], "×", 1.05),
        Figure(f"record batches a rank, over 1/{world}: worst", share["requests_worst"], "×", 1.05),
        Figure(f"bytes a rank, over 1/{world}: mean", share["bytes_mean"], "×", 1.05),
        Figure(f"bytes a rank, over 1/{world}: worst", share["bytes_worst"], "×", 1.05),
        Figure(f"global batches that {world} → {fewer} ranks change", resize["wrong"], "", 0),
        Figure("films not seen exactly once over that", resize["missed"], "", 0),
        *(
            figure
            for ranks in REAL_RANKS
            for figure in (
                Figure(
                    f"bytes at the store, 1 of {ranks}: worst", real[f"bytes-{ranks}"], "×", 1.05
                ),
                Figure("requests over record batches needed", real[f"requests-{ranks}"], "×", 0.25),
                Figure("the same, resumed in the middle", real[f"resumed-{ranks}"], "×", 0.25),
            )
        ),
    ]
    title = (
        f"{open_['films']:,} films, {open_['batches']:,} record batches (dataset.json: "
        f"{size:.1f} MB), {plan['steps']} steps of {BATCH}, {world} ranks"
    )
    show(title, figures, words.out)


if __name__ == "__main__":
    main()

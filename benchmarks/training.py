"""What our machinery costs: the whole job under Ray Train against DDP over tensors in memory.

    python -m benchmarks.training [--rounds N] [--epochs N] [--films N] [--out FILE.json]

ResNet-18 at 128 pixels, two workers of one thread on CPUs. Ours is `rayograph train`: Ray, shards
from SeaweedFS, validation, checkpoints into the store; and the same under torchrun, which shows
what is Ray's. The other is `benchmarks.bare`, two processes of torchrun; the store runs beside all.
The three take turns, and so does who begins. Films/s are of training alone, as all write them; the
first epoch, which starts things, is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.targets import Figure, show
from rayograph import storage
from rayograph.config import RunConfig
from rayograph.pack import prepare
from rayograph.train.clock import PARTS

TARGET = 0.97
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
PYTHON = [sys.executable, "-m"]
TORCHRUN = [*PYTHON, "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]


@dataclass(frozen=True)
class Run:
    """What a run came to, its first epoch left out; `whole_s` with validation and checkpoint."""

    films_per_s: float
    whole_s: float
    waited: float  # for films, as a part of the steps' time


def job(launcher: list[str], runs: str, name: str, words: list[str]) -> Run:
    """Ours: `rayograph train`; an epoch's line is printed once its checkpoint is committed."""
    command = [*launcher, "rayograph", "train", "demo", *words, f"run.name={name}"]
    with subprocess.Popen(
        command, env={**os.environ, **ONE_THREAD}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        lines = [(time.monotonic(), line) for line in process.stderr]
    if process.returncode:
        raise SystemExit("".join(line for _, line in lines))
    ends = [when for when, line in lines if line.startswith("epoch ")]
    text = storage.read(storage.join(runs, name, "history.jsonl")).decode()
    rows = [json.loads(line) for line in text.splitlines()][1:]
    waited = sum(row["data_s"] for row in rows) / sum(row[f"{p}_s"] for row in rows for p in PARTS)
    rate = statistics.median(row["films_per_s"] for row in rows)
    return Run(rate, (ends[-1] - ends[0]) / (len(ends) - 1), waited)


def bare(words: list[str]) -> Run:
    """The other: torchrun with two processes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rows.jsonl")
        command = [*TORCHRUN, "benchmarks.bare", str(out), *words]
        subprocess.run(command, env={**os.environ, **ONE_THREAD}, check=True)
        rows = [json.loads(line) for line in out.read_text().splitlines()][1:]
    rates, wholes = ([row[name] for row in rows] for name in ("films_per_s", "whole_s"))
    return Run(statistics.median(rates), statistics.median(wholes), 0.0)


def rounds(runs: str, count: int, words: list[str]) -> list[dict[str, Run]]:
    """All three, in turn."""
    contenders: dict[str, Callable[[int], Run]] = {
        "bare": lambda _: bare(words),
        "ours": lambda number: job(PYTHON, runs, f"ray{number}", words),
        "without Ray": lambda number: job(TORCHRUN, runs, f"torchrun{number}", words),
    }
    found = []
    for number in range(count):
        names = list(contenders)[:: -1 if number % 2 else 1]
        runs_of = {name: contenders[name](number) for name in names}
        for name, run in runs_of.items():
            print(
                f"  round {number + 1}: {name} {run.films_per_s:.1f} films/s; an epoch with all "
                f"{run.whole_s:.2f} s; waited for films {run.waited:.1%} of the steps",
                flush=True,
            )
        found.append(runs_of)
    return found


def main() -> None:
    """Start a store, pack phantoms into it, and run the rounds."""
    from tests import seaweed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--films", type=int, default=1600, help="70 %% of them are trained on")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweed.store(Path(folder)) as environment:
        os.environ.update(environment)
        runs = f"s3://{seaweed.BUCKET}/runs"
        words = [
            f"run.storage={runs}", f"phantom.films={given.films}", "phantom.size=128",
            "data.image_size=128", "model.name=resnet18", "train.batch_size=64",
            f"train.epochs={given.epochs}", "cluster.workers=2", "cluster.cpus_per_worker=1",
        ]  # fmt: skip
        films = prepare.dataset(RunConfig.load("demo", words)).split("train").rows
        found = rounds(runs, given.rounds, words)

    def share(name: str) -> list[float]:
        return [each[name].films_per_s / each["bare"].films_per_s for each in found]

    whole = [each["bare"].whole_s / each["ours"].whole_s for each in found]
    figures = [
        Figure("bare", statistics.median(e["bare"].films_per_s for e in found), "films/s"),
        Figure("ours / bare, median of the rounds", statistics.median(share("ours")), least=TARGET),
        Figure("the same, worst round", min(share("ours"))),
        Figure("ours without Ray / bare", statistics.median(share("without Ray"))),
        Figure("waited for films, of our steps' time", max(e["ours"].waited for e in found)),
        Figure("whole epochs, with validation and checkpoint", statistics.median(whole)),
    ]
    title = (
        f"ResNet-18 at 128 pixels, {films} films, 2 workers of one thread, {given.epochs} epochs"
    )
    show(title, figures, given.out, torch=torch.__version__, cores=os.cpu_count())


if __name__ == "__main__":
    main()

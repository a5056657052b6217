"""What checkpoints inside an epoch cost: the pause that the loop sees, and the whole slow-down.

    python -m benchmarks.checkpoint [--rounds N] [--epochs N] [--films N] [--every '30 s']

ResNet-50 with Adam (300 MB a checkpoint) at 64 pixels, one worker on CPUs, through the package's
own loop in a process of its own, to SeaweedFS beside it. Once with checkpoints inside the epoch,
once without; rounds alternate, and so does who begins. The pause is `checkpoint_s` over the time of
training; the slow-down is of films/s, upload and all, on this machine. The first epoch is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.targets import Figure, show
from rayograph import storage
from rayograph.config import RunConfig
from rayograph.pack import prepare
from rayograph.train.clock import PARTS

MOST_PAUSE = 0.02


@dataclass(frozen=True)
class Run:
    """A run's epochs but the first: films/s, seconds of training, and of those in pauses."""

    films_per_s: float
    trained_s: float
    paused_s: float


def job(runs: str, name: str, words: list[str]) -> Run:
    """Train in one process, as torchrun would start it."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    command += ["-m", "rayograph", "train", "transfer", *words, f"run.name={name}"]
    subprocess.run(command, check=True)
    text = storage.read(storage.join(runs, name, "history.jsonl")).decode()
    rows = [json.loads(line) for line in text.splitlines()][1:]
    return Run(
        statistics.median(row["films_per_s"] for row in rows),
        sum(row[f"{part}_s"] for row in rows for part in PARTS),
        sum(row["checkpoint_s"] for row in rows),
    )


def main() -> None:
    """Start a store, pack phantoms into it, and run the rounds."""
    from tests import seaweed

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--films", type=int, default=3200, help="70 %% of them are trained on")
    parser.add_argument("--every", default="30 s")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweed.store(Path(folder)) as environment:
        os.environ.update(environment)
        runs = f"s3://{seaweed.BUCKET}/runs"
        words = [
            f"run.storage={runs}", "data.uri=phantom", f"phantom.films={given.films}",
            "phantom.size=64", "data.image_size=64", "model.name=resnet50", "model.weights=null",
            "optim.name=adam", "train.batch_size=16", f"train.epochs={given.epochs}",
            f"cluster.cpus_per_worker={os.cpu_count()}",
        ]  # fmt: skip
        prepare.dataset(RunConfig.load("transfer", words))
        both = []
        for number in range(given.rounds):
            ways = [("within", f"checkpoint.every={given.every}"), ("ends", "checkpoint.every=1")]
            found = {
                way: job(runs, f"{way}{number}", [*words, every])
                for way, every in (ways if number % 2 else reversed(ways))
            }
            both.append((found["within"], found["ends"]))
    paused = sum(ours.paused_s for ours, _ in both)
    trained = sum(ours.trained_s for ours, _ in both)
    slower = [1 - ours.films_per_s / other.films_per_s for ours, other in both]
    figures = [
        Figure("with them", statistics.median(ours.films_per_s for ours, _ in both), "films/s"),
        Figure("without", statistics.median(other.films_per_s for _, other in both), "films/s"),
        Figure("pause, of training time", paused / trained, most=MOST_PAUSE),
        Figure("slow-down, median of the rounds", statistics.median(slower)),
        Figure("slow-down, worst round", max(slower)),
    ]
    title = f"ResNet-50 with Adam, a checkpoint every {given.every}, {trained:.0f} s of training"
    show(title, figures, given.out, torch=torch.__version__, cores=os.cpu_count())


if __name__ == "__main__":
    main()

"""Trains a few tiny configurations, and writes their loss curves as JSON.

The order of the films hangs on the dataset's fingerprint, and that on the format it is stored in.
Here the fingerprint is fixed, so that a curve moves only if what is computed does.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from rayograph.train import loop
from rayograph.train.world import torchrun

CNN = ("model.name=cnn", "model.width=8", "model.depth=2", "train.batch_size=48")
CONFIGURATIONS = {
    "cnn, batch norm": CNN,
    "cnn, group norm": (*CNN, "model.norm=group", "augment.flip=0.5", "optim.clip_norm=1"),
    "resnet18": ("model.name=resnet18", "train.batch_size=96"),
    "class weights, micro batches, dropout": (
        *CNN, "model.norm=group", "model.dropout=0.2", "train.class_weights=balanced",
        "train.micro_batch=10", "optim.name=adam",
    ),
}  # fmt: skip
FIGURES = ("train_loss", "val_loss", "val_auroc")


class Collector:
    """A reporter that keeps the rows and writes nothing."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []

    def latest(self) -> None:
        return None

    def stopping(self) -> bool:
        return False

    def preempted(self) -> bool:
        return False

    def name(self, epoch: int) -> str:
        return f"checkpoint_{epoch:04}_00000000"

    def report(self, rows: Sequence[Mapping[str, Any]], payload: object) -> None:
        self.rows.append(dict(rows[-1]))


def write(uri: str, scratch: Path, place: Path) -> None:
    """Train every configuration on the dataset at `uri`; rank 0 writes the curves to `place`."""
    opened = Dataset.open(uri)
    manifest = opened.manifest.model_copy(update={"fingerprint": "0123456789abcdef" * 4})
    dataset = Dataset(opened.uri, manifest, None)
    curves = {}
    with torchrun(RunConfig.load().cluster) as world:
        for number, (name, words) in enumerate(CONFIGURATIONS.items()):
            common = [f"run.storage={scratch}", f"run.name=golden{number}", f"data.uri={uri}"]
            common += ["data.image_size=32", "train.epochs=2", "train.precision=float32"]
            common += [f"cluster.workers={world.size}"]
            reporter = Collector()
            wanted = RunConfig.load(None, [*common, *words])
            folder = RunFolder.of(wanted)
            world.agree(partial(folder.begin, wanted))
            loop.start(wanted, folder, dataset, reporter, world).fit(reporter)
            curves[name] = {key: [row[key] for row in reporter.rows] for key in FIGURES}
        if world.rank == 0:
            place.write_text(json.dumps(curves))

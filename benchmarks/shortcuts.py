"""Shortcuts planted in phantoms, and a set without: what `rayograph audit` says of each.

    PYTHONPATH=src:. .venv/bin/python -m benchmarks.shortcuts WORK

1,200 phantom films at 64 pixels. `anatomy`: the classes as they are; `file`: classes dealt to films
at random, those of one class stored in colour at 80 × 80; `mark`: dealt at random, and a mark of
4 × 4 white pixels in a corner of each film of one class. Each trains a small CNN for 8 epochs.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from rayograph.config import PackOptions, RunConfig
from rayograph.console import auditing
from rayograph.evaluate.audit.shortcuts import audit
from rayograph.pack import phantom
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing

FILMS, SIZE, SEED = 1200, 64, 9


def main(work: Path) -> None:
    """Make, pack, train and audit each set; WORK must be new."""
    phantom.write(work / "films", FILMS, SEED, SIZE)
    for name, plant in (("anatomy", untouched), ("file", file), ("mark", mark)):
        films = work / name / "films"
        dealt(work / "films", films, at_random=plant is not untouched)
        for path in sorted(films.glob("*/opacity/*.png")):
            plant(path)
        options = PackOptions(size=SIZE, patient_pattern=phantom.PATIENT_PATTERN)
        data = packing(films, work / name / "packed", options)
        words = (
            f"data.uri={data.uri}", f"run.storage={work / name}", f"data.image_size={SIZE}",
            "model.name=cnn", "model.width=8", "model.depth=3", "train.epochs=8",
            "train.batch_size=32",
        )  # fmt: skip
        run = local.run(RunConfig.load(None, words), lambda _row: None, deaf)
        print(f"{name}\n{auditing.told(audit(run.best_model, run.uri, None))}\n", flush=True)


def dealt(source: Path, films: Path, *, at_random: bool) -> None:
    """Copy films, each into its own class, or into one drawn by chance (seed 0)."""
    draw = np.random.default_rng(0)
    for path in sorted(source.rglob("*.png")):
        part, kind = path.relative_to(source).parts[:2]
        if at_random:
            kind = phantom.CLASSES[int(draw.integers(2))]
        place = films / part / kind / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())


def untouched(path: Path) -> None:
    """Nothing is planted."""


def mark(path: Path) -> None:
    """A white mark in the upper left corner."""
    film = np.asarray(Image.open(path)).copy()
    film[1:5, 1:5] = 255
    Image.fromarray(film).save(path)


def file(path: Path) -> None:
    """The same film in colour, and larger."""
    Image.open(path).convert("RGB").resize((80, 80)).save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

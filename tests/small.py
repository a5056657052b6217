"""A small run: a CNN trained on phantoms in this process, for what comes after training."""

from pathlib import Path

from rayograph.config import PackOptions, RunConfig
from rayograph.pack import phantom
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import packing

SIZE = 32
WORDS = (
    "model.name=cnn", "model.width=4", "model.depth=2", f"data.image_size={SIZE}",
    "train.epochs=1", "train.batch_size=28",
)  # fmt: skip


def trained(place: Path, *words: str, films: int = 120) -> RunFolder:
    """Of the films in `place/films`, or of so many phantoms if there are none; all in `place`."""
    if not (place / "films").exists():
        phantom.write(place / "films", films, seed=4, size=SIZE)
    options = PackOptions(size=SIZE, patient_pattern=phantom.PATIENT_PATTERN)
    data = packing(place / "films", place / "packed", options)
    every = [f"data.uri={data.uri}", f"run.storage={place}", *WORDS, *words]
    return local.run(RunConfig.load(None, every), lambda _row: None, deaf)

"""An exported model gives the model's probabilities, without rayograph, for any number of films."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from rayograph.config import DataOptions, ModelOptions, PackOptions, SourceOptions
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import (
    Feature,
    ImageRecipe,
    ImageTransform,
    TableColumn,
    TableRecipe,
    TableTransform,
)
from rayograph.errors import Failure, UserError
from rayograph.evaluate import export as exporting
from rayograph.evaluate import graphs, prediction, specimens
from rayograph.evaluate.model import load
from rayograph.models import build, files
from rayograph.models.registry import FAMILIES, families
from rayograph.pack import phantom
from rayograph.pack.decode import decode
from rayograph.pack.mapper import one_by_one
from rayograph.pack.sources import unlabelled
from rayograph.runs.card import ModelCard
from tests.conftest import SHARED, needs_real_films, packing, rayograph

FILMS = {
    "recipe": ImageRecipe(size=48, resize="crop"),  # larger than the model sees: resized inside
    "transform": ImageTransform(size=32, mean=0.5, std=0.25),
}
RECORDS = {
    "recipe": TableRecipe(
        columns=(
            TableColumn(name="age", missing=True),
            TableColumn(name="site", categories=("a", "b"), missing=True),
            TableColumn(name="pulse", missing=False),
        )
    ),
    "transform": TableTransform(
        features=(
            Feature(mean=50, std=20, categories=0, flag=True),
            Feature(mean=0.5, std=0.5, categories=2, flag=True),
            Feature(mean=70, std=9, categories=0, flag=False),
        )
    ),
}
SEEN = {"films": FILMS, "records": RECORDS}
TINY = {
    "films": ModelOptions(name="cnn", width=8, depth=2),
    "records": ModelOptions(name="mlp", hidden=(16,), dropout=0.5),
}
CLASSES = {"multiclass": ("normal", "viral", "bacterial"), "multilabel": ("opacity", "effusion")}
POINTS = {"multiclass": None, "multilabel": (0.25, None)}
Run = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.float32]]


def model(
    place: Path, seen: dict[str, object], task: str, options: ModelOptions, **card: object
) -> str:
    """A model file with random weights whose probabilities differ from sample to sample."""
    torch.manual_seed(0)
    said = {
        "model": options, "task": task, "classes": CLASSES[task],
        "operating_points": POINTS[task], "dataset": str(place.parent / "gone"),
        "fingerprint": "0" * 64, "run": "tiny", "epoch": 3, "metrics": {}, **seen, **card,
    }  # fmt: skip
    made = ModelCard.model_validate(said)
    network = build.build(options, made.transform.shape, len(made.classes)).eval()
    last = build.head(network, options.name)
    values = torch.from_numpy(specimens.drawn(made))
    sees = exporting.transforms_of(made).evaluate(values)
    with torch.no_grad():
        spread = network(sees).std(dim=0).clamp(min=1e-3)
        last.weight /= spread[:, None]
    files_of = files.write(network.state_dict(), made.metadata())
    place.write_bytes(files_of)
    return str(place)


def alone(place: str) -> Run:
    """What somebody without rayograph would run a file with."""
    if place.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(place)
        return lambda samples: session.run(["probabilities"], {"samples": samples})[0]
    graph = torch.export.load(place).module()
    return lambda samples: graph(torch.from_numpy(samples)).detach().numpy()

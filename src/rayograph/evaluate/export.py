"""A model as one file that runs without rayograph, tried before anybody gets it."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rayograph import storage
from rayograph.data.inputs import Samples
from rayograph.errors import Failure
from rayograph.evaluate import graphs, specimens
from rayograph.evaluate.graphs import Kind, Run
from rayograph.evaluate.inference import over_views
from rayograph.evaluate.model import LoadedModel, load
from rayograph.models import files
from rayograph.runs import checkpoint
from rayograph.runs.card import ModelCard

FORMAT = "rayograph-export-1"
LIMIT = 1e-4  # by which probabilities may differ from the model's
PROBABILITIES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "multiclass": lambda logits: logits.softmax(dim=1), "multilabel": torch.sigmoid,
}  # fmt: skip  # of logits [n, k], as each task's own `probabilities`


class Exported(nn.Module):
    """All between packed samples and probabilities: transform, network, temperature, task."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self.network = model.network
        self._transform = model.transform
        self._temperature = model.card.temperature
        self._probabilities = PROBABILITIES[model.task.name]

    def forward(self, samples: Tensor) -> Tensor:
        """Packed samples [n, *shape] to probabilities float32 [n, k]."""
        logits = over_views(self.network, self._transform, samples)
        return self._probabilities(logits / self._temperature)


@dataclass(frozen=True)
class Export:
    """What was written: its place, the weights' beside it, and how it was tried.

    `difference` is the largest one between its probabilities and the model's, over `samples`.
    """

    out: str
    weights: str
    format: str
    opset: int | None
    bytes: int
    samples: int
    origin: str
    difference: float

    def to_json(self) -> dict[str, Any]:
        """What `export --json` prints."""
        return asdict(self)


def export(model_uri: str, out: str, kind: Kind, data: str | None) -> Export:
    """Write a model's graph to `out`, and its weights beside it, once the graph has been tried.

    It is tried on samples of `data`, or of the dataset that it was trained on, else on random ones.
    Raises `Failure`, and writes nothing, where its probabilities are not the model's.
    """
    out = storage.absolute(out)
    model = load(model_uri, torch.device("cpu"))
    graph = Exported(model).eval()
    kind.check(graph)
    tried = specimens.take(model.card, data)
    shape = (graphs.BATCH, *model.card.recipe.shape)
    example = torch.from_numpy(np.zeros(shape, tried.values.dtype))  # it is kept in the file
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"model{kind.suffix}"
        kind.write(graph, example, notes(model.card, tried.values), file)
        most = difference(model_uri, model, kind.open(file), tried.values)
        if not most <= LIMIT:
            raise Failure(
                f"{out}: not written: on {tried.origin} its probabilities differ from the model's "
                f"by {most:.2g}, more than {LIMIT:g}"
            )
        weights = f"{out}.safetensors"
        beside = model.unlike.tensors() if model.unlike else {}
        tensors = {**model.network.state_dict(), **beside}
        storage.write(weights, files.write(tensors, model.card.metadata()))
        storage.upload(out, file)
        size = file.stat().st_size
    opset = graphs.OPSET if kind.name == "onnx" else None
    count = len(tried.values)
    return Export(out, weights, kind.name, opset, size, count, tried.origin, most)


def difference(model_uri: str, model: LoadedModel, run: Run, samples: Samples) -> float:
    """The largest between the probabilities of a model and those of its export, NaN if one is.

    The export is given all samples [n, *shape] together, and the first one alone. `Failure` where
    the model itself returns NaN.
    """
    with torch.inference_mode():
        logits = model.said(samples)
    try:
        wanted = model.task.probabilities(logits.astype(np.float64))
    except ValueError as error:
        raise Failure(f"{model_uri}: {error}") from None
    found = np.concatenate([run(samples), run(samples[:1])])
    return float(np.abs(found - np.concatenate([wanted, wanted[:1]])).max())


def notes(card: ModelCard, samples: Samples) -> dict[str, Any]:
    """What a file says of itself: its ends, what they mean, and which model it is."""
    said = card.model_dump(
        mode="json",
        include={
            "model", "task", "classes", "operating_points", "operating_rule", "temperature",
            "recipe", "transform", "fingerprint", "run", "epoch",
        },
    )  # fmt: skip
    ends = {
        "input": {
            "name": graphs.INPUT, "dtype": str(samples.dtype), "shape": ["n", *samples.shape[1:]],
        },
        "output": {
            "name": graphs.OUTPUT, "dtype": "float32", "shape": ["n", len(card.classes)],
        },
    }  # fmt: skip
    return {"format": FORMAT, **ends, **said, "versions": checkpoint.versions()}

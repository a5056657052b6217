"""What models say of new films, decoded by their recipe: rows of the table of predictions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from rayograph import task as tasks
from rayograph.data.inputs import Samples
from rayograph.data.recipe import ODD
from rayograph.evaluate import ensemble
from rayograph.evaluate.model import LoadedModel
from rayograph.evaluate.unlike.bank import LastLayer
from rayograph.pack.sources import Original
from rayograph.runs.card import ModelCard
from rayograph.task import Task, abstain

DOUBTS = {"unlike": "unlike the training films", "abstain": "abstained"}  # columns, and their words


@dataclass(frozen=True)
class PredictionChunk:
    """Originals of one forward pass, with the samples of the usable ones, and what ails the rest.

    `errors` has an entry for each original, None of a usable one.
    """

    originals: Sequence[Original]
    samples: Sequence[Samples]
    errors: Sequence[str | None]


@torch.inference_mode()
def predict_chunk(models: Sequence[LoadedModel], card: ModelCard, chunk: PredictionChunk) -> Any:
    """The rows of one chunk, a `pyarrow.Table`, by models that judge together; `card` is theirs.

    A sample's distance is the mean of those that the models find; none where one knows none.
    """
    task = models[0].task
    logits, distances = np.empty((0, task.outputs)), np.empty(0)
    seen = np.array(chunk.samples, np.float32).reshape(-1, *card.recipe.shape)
    measured = all(model.unlike for model in models)
    if chunk.samples:
        said, found = zip(*(_said(model, chunk.samples) for model in models), strict=True)
        logits = said[0] if len(models) == 1 else ensemble.logits(task, said)
        distances = np.mean(found, axis=0) if measured else distances
    doubts = _doubts(task, card, logits, distances) if measured else {}
    return _table(chunk, task, card, logits, {**doubts, **card.recipe.odd(seen)})


def _said(
    model: LoadedModel, samples: Sequence[Samples]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    """A model's logits of samples, and their distances from those that it knows, if it knows."""
    last = LastLayer(model.network, model.card.model.name)
    with last.listening():
        logits = model.said(np.stack(samples)).astype(np.float64)
    if model.unlike is None:
        return logits, None
    return logits, model.unlike.distances(last.features(), samples)


def _doubts(
    task: Task,
    card: ModelCard,
    logits: npt.NDArray[np.float64],
    distances: npt.NDArray[np.float64],
) -> dict[str, npt.NDArray[Any]]:
    """How far samples are from the known ones, if too far; whether that or the band says no."""
    unlike = distances > 1
    near = np.zeros(len(logits), bool)
    if card.band and len(logits):
        near = abstain.inside(task.probabilities(logits), card.band)
    return {"distance": distances, "unlike": unlike, "abstain": unlike | near}


def _table(
    chunk: PredictionChunk,
    task: Task,
    card: ModelCard,
    logits: npt.NDArray[np.float64],
    odd: Mapping[str, npt.NDArray[Any]],
) -> Any:
    """A row a sample; `logits` and what is `odd` are of those without an error, in their order."""
    usable = np.array([error is None for error in chunk.errors])
    said = {**task.predictions(logits, card.operating_points), **odd}
    place = np.cumsum(usable) - 1
    rows = pa.array(
        [int(i) if ok else None for i, ok in zip(place, usable, strict=True)], pa.int64()
    )
    columns = {
        "sample_id": pa.array([each.sample_id for each in chunk.originals], pa.string()),
        "source": pa.array([each.uri for each in chunk.originals], pa.string()),
        **{name: pa.array(values).take(rows) for name, values in said.items()},
        "error": pa.array(chunk.errors, pa.string()),
    }
    classes = json.dumps(task.classes)
    return pa.table(columns, metadata={"task": task.name, "classes": classes})


def counts(table: Any) -> dict[str, int]:
    """How many films were of what kind, as their task counts them, and how many unreadable."""
    named = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    task = tasks.of(named["task"], json.loads(named["classes"]))
    odd = {
        name.replace("_", " "): sum(bool(count) for count in table.column(name).to_pylist())
        for name in ODD
        if name in table.column_names
    }
    told = {
        said: table.column(name).to_pylist().count(True)
        for name, said in DOUBTS.items()
        if name in table.column_names
    }
    unreadable = len(table) - table.column("error").null_count
    return {**task.counts(table), **odd, **told, "unreadable": unreadable}

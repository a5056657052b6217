"""New films in, a table of predictions out: the model's own recipe, then the model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from rayograph import storage
from rayograph import task as tasks
from rayograph.data.inputs import Samples
from rayograph.data.recipe import ODD
from rayograph.evaluate.model import LoadedModel, load
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.mapper import Mapper
from rayograph.pack.sources import Original

CHUNK = 64  # films that a process reads and predicts at once


@dataclass(frozen=True)
class PredictionChunk:
    """Originals for one process."""

    model: str
    originals: tuple[Original, ...]


def predict(model_uri: str, originals: Sequence[Original], mapper: Mapper) -> Any:
    """A `pyarrow.Table`, a row a sample: probabilities, the decision, or why it cannot be used.

    Decisions are by the operating points that were chosen on the validation films, if any were.
    """
    chunks = [tuple(originals[i : i + CHUNK]) for i in range(0, len(originals), CHUNK)]
    tasks = [PredictionChunk(model_uri, chunk) for chunk in chunks]
    return pa.concat_tables(list(mapper("predicting", predict_chunk, tasks)))


@torch.inference_mode()
def predict_chunk(chunk: PredictionChunk) -> Any:
    """The rows of one chunk."""
    model = _model(chunk.model)
    samples: list[Samples] = []
    errors: list[str | None] = []
    for original in chunk.originals:
        try:
            samples.append(decode(original.read(), model.card.recipe).values)
            errors.append(None)
        except (UnusableError, storage.NotFoundError) as error:
            errors.append(str(error))
    logits = np.empty((0, model.task.outputs))
    seen = np.array(samples, np.float32).reshape(-1, *model.card.recipe.shape)
    if samples:
        inputs = model.transform.evaluate(torch.from_numpy(np.stack(samples)))
        logits = model.said(inputs).astype(np.float64)
    return _table(chunk, model, logits, model.card.recipe.odd(seen), errors)


def _table(
    chunk: PredictionChunk,
    model: LoadedModel,
    logits: npt.NDArray[np.float64],
    odd: Mapping[str, npt.NDArray[Any]],
    errors: list[str | None],
) -> Any:
    """A row a sample; `logits` and what is `odd` are of those without an error, in their order."""
    usable = np.array([error is None for error in errors])
    said = {**model.task.predictions(logits, model.card.operating_points), **odd}
    place = np.cumsum(usable) - 1
    rows = pa.array(
        [int(i) if ok else None for i, ok in zip(place, usable, strict=True)], pa.int64()
    )
    columns = {
        "sample_id": pa.array([each.sample_id for each in chunk.originals], pa.string()),
        "source": pa.array([each.uri for each in chunk.originals], pa.string()),
        **{name: pa.array(values).take(rows) for name, values in said.items()},
        "error": pa.array(errors, pa.string()),
    }
    classes = json.dumps(model.task.classes)
    return pa.table(columns, metadata={"task": model.task.name, "classes": classes})


def counts(table: Any) -> dict[str, int]:
    """How many films were of what kind, as their task counts them, and how many unreadable."""
    named = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    task = tasks.of(named["task"], json.loads(named["classes"]))
    odd = {
        name.replace("_", " "): sum(bool(count) for count in table.column(name).to_pylist())
        for name in ODD
        if name in table.column_names
    }
    unreadable = len(table) - table.column("error").null_count
    return {**task.counts(table), **odd, "unreadable": unreadable}


@lru_cache(maxsize=1)
def _model(uri: str) -> LoadedModel:
    return load(uri, torch.device("cpu"))  # a task of one CPU: GPUs belong to others

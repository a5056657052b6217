"""New films in, a table of predictions out: the model's own recipe, then the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from rayograph import storage
from rayograph.data.inputs import Samples
from rayograph.evaluate.model import LoadedModel, load
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.mapper import Mapper

CHUNK = 64  # films that a process reads and predicts at once


@dataclass(frozen=True)
class PredictionChunk:
    """Films for one process, as pairs of name and URI."""

    model: str
    films: tuple[tuple[str, str], ...]


def predict(model_uri: str, films: Sequence[tuple[str, str]], mapper: Mapper) -> Any:
    """A `pyarrow.Table`, a row a film: probabilities, the decision, or why it cannot be used.

    Decisions are by the operating points that were chosen on the validation films, if any were.
    """
    chunks = [tuple(films[i : i + CHUNK]) for i in range(0, len(films), CHUNK)]
    tasks = [PredictionChunk(model_uri, chunk) for chunk in chunks]
    return pa.concat_tables(list(mapper("predicting", predict_chunk, tasks)))


@torch.inference_mode()
def predict_chunk(chunk: PredictionChunk) -> Any:
    """The rows of one chunk."""
    model = _model(chunk.model)
    samples: list[Samples] = []
    errors: list[str | None] = []
    for _, uri in chunk.films:
        try:
            samples.append(decode(storage.read(uri), model.card.recipe))
            errors.append(None)
        except (UnusableError, storage.NotFoundError) as error:
            errors.append(str(error))
    logits = np.empty((0, model.task.outputs))
    if samples:
        inputs = model.transform.evaluate(torch.from_numpy(np.stack(samples)))
        logits = model.network(inputs).float().cpu().numpy().astype(np.float64)
    return _table(chunk, model, logits, errors)


def _table(
    chunk: PredictionChunk,
    model: LoadedModel,
    logits: npt.NDArray[np.float64],
    errors: list[str | None],
) -> Any:
    """A row a film; `logits` are those of the films without an error, in their order."""
    usable = np.array([error is None for error in errors])
    said = model.task.predictions(logits, model.card.operating_points)
    place = np.cumsum(usable) - 1
    rows = pa.array(
        [int(i) if ok else None for i, ok in zip(place, usable, strict=True)], pa.int64()
    )
    columns = {
        "sample_id": pa.array([name for name, _ in chunk.films], pa.string()),
        "source": pa.array([uri for _, uri in chunk.films], pa.string()),
        **{name: pa.array(values).take(rows) for name, values in said.items()},
        "error": pa.array(errors, pa.string()),
    }
    return pa.table(columns)


def counts(table: Any) -> dict[str, int]:
    """How many films were positive, negative and unreadable; with more classes, of each class."""
    decisions = table.column("decision").to_pylist()
    classes = [name.removeprefix("p_") for name in table.column_names if name.startswith("p_")]
    names = ("negative", "positive") if len(classes) == 2 else classes
    found = {name: decisions.count(c) for name, c in zip(names, classes, strict=True)}
    return {**found, "unreadable": decisions.count(None)}


@lru_cache(maxsize=1)
def _model(uri: str) -> LoadedModel:
    return load(uri, torch.device("cpu"))  # a task of one CPU: GPUs belong to others

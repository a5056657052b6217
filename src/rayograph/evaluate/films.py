"""New films in, a table of predictions out: the model's own recipe, then the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rayograph import storage
from rayograph.data import augment, film
from rayograph.data.pack import Run
from rayograph.evaluate import metrics
from rayograph.evaluate.evaluation import load_model
from rayograph.models.card import ModelCard

CHUNK = 64  # films that a process reads and predicts at once


@dataclass(frozen=True)
class Task:
    """Films for one process, as pairs of name and URI."""

    model: str
    films: tuple[tuple[str, str], ...]


def predict(model_uri: str, films: Sequence[tuple[str, str]], run: Run) -> Any:
    """A `pyarrow.Table`, a row a film: probabilities, the decision, or why it cannot be used.

    With two classes a film is positive from the threshold that was chosen on the validation films,
    or from 0.5 where none was.
    """
    chunks = [tuple(films[i : i + CHUNK]) for i in range(0, len(films), CHUNK)]
    parts = list(run("predicting", predict_chunk, [Task(model_uri, chunk) for chunk in chunks]))
    return pa.concat_tables(parts)


@torch.inference_mode()
def predict_chunk(task: Task) -> Any:
    """The rows of one chunk."""
    model, card = _model(task.model)
    films: list[film.Film] = []
    errors: list[str | None] = []
    for _, uri in task.films:
        try:
            films.append(film.read(storage.read(uri), card.recipe))
            errors.append(None)
        except (film.FilmError, storage.NotFoundError) as error:
            errors.append(str(error))
    usable = np.array([error is None for error in errors])
    values = np.full((len(usable), len(card.classes)), np.nan)
    if films:
        batch = torch.from_numpy(np.stack(films))
        pictures = augment.whole(batch, card.image_size, card.mean, card.std)
        values[usable] = model(pictures).float().cpu().numpy()
    return _table(task, card, values, errors)


def _table(task: Task, card: ModelCard, logits: Any, errors: list[str | None]) -> Any:
    usable = np.array([error is None for error in errors])
    decisions = np.zeros(len(usable), dtype=np.int64)
    probabilities = np.full(logits.shape, np.nan)
    if usable.any():
        decisions[usable] = metrics.decide(logits[usable], card.threshold)
        probabilities[usable] = metrics.softmax(logits[usable])
    names = [card.classes[d] if ok else None for d, ok in zip(decisions, usable, strict=True)]
    columns = {
        "sample_id": pa.array([name for name, _ in task.films], pa.string()),
        "source": pa.array([uri for _, uri in task.films], pa.string()),
        "decision": pa.array(names, pa.string()),
        "positive": pa.array([bool(d) for d in decisions], pa.bool_(), mask=~usable),
    }
    for i, name in enumerate(card.classes):
        columns[f"p_{name}"] = pa.array(probabilities[:, i], pa.float64(), mask=~usable)
    columns["error"] = pa.array(errors, pa.string())
    return pa.table(columns)


@lru_cache(maxsize=1)
def _model(uri: str) -> tuple[nn.Module, ModelCard]:
    return load_model(uri, torch.device("cpu"))  # a task of one CPU: GPUs belong to others


def counts(table: Any) -> dict[str, int]:
    """How many films were positive, negative and unreadable; with more classes, of each class."""
    decisions = table.column("decision").to_pylist()
    classes = [name.removeprefix("p_") for name in table.column_names if name.startswith("p_")]
    names = ("negative", "positive") if len(classes) == 2 else classes
    found = {name: decisions.count(c) for name, c in zip(names, classes, strict=True)}
    return {**found, "unreadable": decisions.count(None)}

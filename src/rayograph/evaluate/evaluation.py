"""A model judged on a packed split."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rayograph import storage
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Logits
from rayograph.evaluate.model import load
from rayograph.runs.card import MODEL, ModelCard
from rayograph.runs.evaluations import Evaluation


def evaluate(model_uri: str, data: str | None, split: str) -> Evaluation:
    """Judge a model on every film of a split of `data`, or of the dataset it was trained on.

    Raises `UserError` where the dataset was packed by another recipe or has other classes, and
    `Failure` where a film is missing from the predictions or is in them twice, or where the model
    returns NaN.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load(model_uri, device)
    card, task = model.card, model.task
    dataset = Dataset.open(data or card.dataset)
    _check(card, dataset)
    found = inference.logits(model.network, dataset, split, model.transform, device)
    table = _predictions(dataset, split, found)
    values = found.values.astype(np.float64)
    patients = table.column("patient_id").to_pylist()
    try:
        estimates = task.evaluate(found.labels, values, patients, card.operating_points)
    except ValueError as error:
        raise Failure(f"{model_uri}: {error}") from None
    return Evaluation(
        split=split,
        films=len(values),
        patients=len(set(patients)),
        task=card.task,
        classes=card.classes,
        metrics=estimates,
        confusion=task.confusion(found.labels, values).tolist(),
        operating_points=card.operating_points,
        model=model_uri,
        epoch=card.epoch,
        dataset=dataset.uri,
        fingerprint=dataset.manifest.fingerprint,
        trained_on=card.fingerprint,
        predictions=table,
    )


def each(places: Mapping[int, str], data: str | None, split: str) -> list[dict[str, Any]]:
    """Every checkpoint on a split, as the paper did it; choosing one by it would be cheating."""
    found = []
    for epoch, place in places.items():
        one = evaluate(storage.join(place, MODEL), data, split).to_json()
        found.append({"epoch": epoch, "films": one["films"], "metrics": one["metrics"]})
    return found


def _check(card: ModelCard, dataset: Dataset) -> None:
    differs = card.recipe.difference(dataset.manifest.recipe)
    if differs:
        raise UserError(f"{dataset.uri}: packed by another recipe than the model's: {differs}")
    if (card.task, card.classes) != (dataset.manifest.task, dataset.manifest.classes):
        theirs, ours = ", ".join(dataset.manifest.classes), ", ".join(card.classes)
        raise UserError(f"{dataset.uri}: its classes are {theirs}; the model's are {ours}")


def _predictions(dataset: Dataset, split: str, found: Logits) -> Any:
    """`predictions.parquet`: the split's index with labels and logits; each film exactly once."""
    films = index.read(dataset, split)
    names = films.column("sample_id").to_pylist()
    predicted = [found.ids.get(row) for row in range(len(names))]
    if predicted != names or len(set(names)) != len(names) or (found.seen != 1).any():
        raise Failure(f"{dataset.uri}: the {split} films predicted are not those of the index")
    if not np.array_equal(index.labels(dataset, films), found.labels):
        raise Failure(
            f"{dataset.uri}: the labels of index.parquet and of the {split} shards differ"
        )
    outputs = found.values.shape[1]
    for name, values in (("labels", found.labels), ("logits", found.values)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), outputs)
        films = films.append_column(name, column)
    classes = json.dumps(dataset.manifest.classes)
    return films.replace_schema_metadata({"task": dataset.task.name, "classes": classes})

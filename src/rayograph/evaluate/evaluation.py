"""A model judged on a packed split."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rayograph import storage
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError, one_line
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Logits
from rayograph.evaluate.model import LoadedModel, load
from rayograph.evaluate.overlap import overlap
from rayograph.pack import labels
from rayograph.runs.card import MODEL, ModelCard
from rayograph.runs.evaluations import Evaluation
from rayograph.task import Labels


def evaluate(model_uri: str, data: str | None, split: str) -> Evaluation:
    """Judge a model on every film of a split of `data`, or of the dataset it was trained on.

    Raises `UserError` where the dataset was packed by another recipe or the split has a class that
    the model does not know, and `Failure` where a film is missing from the predictions or is in
    them twice, or where the model returns NaN.
    """
    model, dataset = _opened(model_uri, data)
    found = _judged(model_uri, model, dataset, split)
    return replace(found, overlap=overlap(model.card, dataset, split))


def each(places: Mapping[int, str], data: str | None, split: str) -> list[dict[str, Any]]:
    """Every checkpoint on a split, as the paper did it; choosing one by it would be cheating."""
    found = []
    for epoch, place in places.items():
        uri = storage.join(place, MODEL)
        one = _judged(uri, *_opened(uri, data), split).to_json()
        found.append({"epoch": epoch, "films": one["films"], "metrics": one["metrics"]})
    return found


def _opened(model_uri: str, data: str | None) -> tuple[LoadedModel, Dataset]:
    model = load(model_uri, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    dataset = Dataset.open(data or model.card.dataset)
    differs = model.card.recipe.difference(dataset.manifest.recipe)
    if differs:
        raise UserError(f"{dataset.uri}: packed by another recipe than the model's: {differs}")
    return model, dataset


def _judged(model_uri: str, model: LoadedModel, dataset: Dataset, split: str) -> Evaluation:
    card, task = model.card, model.task
    same = _same_classes(card, dataset, split)
    device = next(model.network.parameters()).device
    found = inference.logits(model.network, dataset, split, model.transform, task.outputs, device)
    truth = found.labels @ same
    table = _predictions(card, dataset, split, found, truth)
    values = found.values.astype(np.float64)
    patients = table.column("patient_id").to_pylist()
    try:
        estimates = task.evaluate(truth, values, patients, card.operating_points)
    except ValueError as error:
        raise Failure(f"{model_uri}: {error}") from None
    return Evaluation(
        split=split,
        films=len(values),
        patients=len(set(patients)),
        task=card.task,
        classes=card.classes,
        metrics=estimates,
        confusion=task.confusion(truth, values).tolist(),
        operating_points=card.operating_points,
        model=model_uri,
        epoch=card.epoch,
        dataset=dataset.uri,
        fingerprint=dataset.manifest.fingerprint,
        trained_on=card.fingerprint,
        predictions=table,
    )


def _same_classes(card: ModelCard, dataset: Dataset, split: str) -> Labels:
    """Which class of the dataset is which of the model: 1 or 0, int8 [the dataset's, the model's].

    Names are matched as `pack` matches them. `UserError` where a film of the split is of a class
    that the model does not know.
    """
    ours = {labels.plain(name): i for i, name in enumerate(card.classes)}
    ours |= {name: i for i, name in enumerate(card.classes)}
    same = np.zeros((len(dataset.manifest.classes), len(card.classes)), np.int8)
    unknown = []
    for i, name in enumerate(dataset.manifest.classes):
        place = ours.get(name, ours.get(labels.plain(name)))
        if place is not None:
            same[i, place] = 1
        elif dataset.split(split).present[name]:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{dataset.uri}: the model does not know {one_line(', '.join(unknown))}, which {split} "
            f"films are; it knows {one_line(', '.join(card.classes))}: leave such films out, or "
            "name the class as the model does"
        )
    return same


def _predictions(
    card: ModelCard, dataset: Dataset, split: str, found: Logits, truth: Labels
) -> Any:
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
    for name, values in (("labels", truth), ("logits", found.values)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), outputs)
        films = films.append_column(name, column)
    said = {"task": card.task, "classes": json.dumps(card.classes)}
    return films.replace_schema_metadata(said)

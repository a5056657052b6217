"""A model judged on a packed split."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rayograph import storage
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.evaluate import metrics, predict
from rayograph.evaluate.results import Evaluation
from rayograph.models import card as cards
from rayograph.models.build import restored
from rayograph.models.card import ModelCard


def load_model(uri: str, device: torch.device) -> tuple[nn.Module, ModelCard]:
    """The model of a file written by training, ready to predict; `UserError` where it is none."""
    card, tensors = cards.from_bytes(storage.fetch(uri), uri)
    model = restored(card.model, len(card.classes), card.image_size, tensors, uri)
    return model.eval().to(device), card


def evaluate(model_uri: str, data: str | None, split: str) -> Evaluation:
    """Judge a model on every film of a split of `data`, or of the dataset it was trained on.

    Raises `UserError` where the dataset was packed by another recipe or has other classes, and
    `Failure` where a film is missing from the predictions or stands in them twice, or where the
    model returns NaN.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, card = load_model(model_uri, device)
    dataset = Dataset.open(data or card.dataset)
    _check(card, dataset)
    found = predict.logits(model, dataset, split, card.image_size, device)
    table = _predictions(dataset, split, found)
    values = found.values.astype(np.float64)
    patients = table.column("patient_id").to_pylist()
    try:
        estimates = metrics.evaluate(found.labels, values, patients, threshold=card.threshold)
    except ValueError as error:
        raise Failure(f"{model_uri}: {error}") from None
    confusion = metrics.confusion(found.labels, metrics.decide(values), len(card.classes))
    return Evaluation(
        split=split,
        films=len(values),
        patients=len(set(patients)),
        classes=card.classes,
        metrics=estimates,
        confusion=confusion.tolist(),
        threshold=card.threshold,
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
        one = evaluate(storage.join(place, cards.MODEL), data, split).to_json()
        found.append({"epoch": epoch, "films": one["films"], "metrics": one["metrics"]})
    return found


def _check(card: ModelCard, dataset: Dataset) -> None:
    differs = card.recipe.difference(dataset.manifest.recipe)
    if differs:
        raise UserError(f"{dataset.uri}: packed by another recipe than the model's: {differs}")
    if card.classes != dataset.manifest.classes:
        theirs, ours = ", ".join(dataset.manifest.classes), ", ".join(card.classes)
        raise UserError(f"{dataset.uri}: its classes are {theirs}; the model's are {ours}")


def _predictions(dataset: Dataset, split: str, found: predict.Logits) -> Any:
    """`predictions.parquet`: the split's index with logits; each film exactly once, by its id."""
    films = index.read(dataset, split)
    names = films.column("sample_id").to_pylist()
    predicted = [found.ids.get(row) for row in range(len(names))]
    if predicted != names or len(set(names)) != len(names) or (found.seen != 1).any():
        raise Failure(f"{dataset.uri}: the {split} films predicted are not those of the index")
    if (films.column("label").to_numpy() != found.labels).any():
        raise Failure(
            f"{dataset.uri}: the labels of index.parquet and of the {split} shards differ"
        )
    logits = pa.FixedSizeListArray.from_arrays(
        pa.array(found.values.ravel(), pa.float32()), found.values.shape[1]
    )
    classes = json.dumps(dataset.manifest.classes)
    return films.append_column("logits", logits).replace_schema_metadata({"classes": classes})

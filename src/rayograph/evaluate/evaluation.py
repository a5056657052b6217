"""A model judged on a split: predictions, metrics with intervals, and what was looked at when."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.evaluate import metrics, predict
from rayograph.evaluate.metrics import Estimate
from rayograph.models import card as cards
from rayograph.models.build import build
from rayograph.models.card import ModelCard

PREDICTIONS, METRICS = "predictions.parquet", "metrics.json"


@dataclass(frozen=True)
class Evaluation:
    """What `rayograph evaluate` found. `checkpoints` holds one entry an epoch, exploratory."""

    split: str
    films: int
    patients: int
    classes: tuple[str, ...]
    metrics: Mapping[str, Estimate]
    confusion: list[list[int]]
    threshold: float | None
    model: str
    epoch: int
    dataset: str
    fingerprint: str
    predictions: Any = field(repr=False)  # a pyarrow.Table
    checkpoints: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """The result as `evaluate --json` prints it."""
        rest = replace(self, predictions=None)
        found = {k: v for k, v in vars(rest).items() if k != "predictions"}
        found["metrics"] = {name: asdict(value) for name, value in self.metrics.items()}
        if not self.checkpoints:
            del found["checkpoints"]
        return found


def device() -> torch.device:
    """A GPU where this process has one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(uri: str) -> tuple[nn.Module, ModelCard]:
    """The model of a file written by training, ready to predict."""
    card, tensors = cards.from_bytes(storage.read(uri), uri)
    model = build(card.model, len(card.classes))
    model.load_state_dict(tensors)
    return model.eval().to(device()), card


def evaluate(model_uri: str, dataset: Dataset, split: str) -> Evaluation:
    """Judge a model on every film of a split.

    Raises `UserError` where the dataset was packed by another recipe or has other classes, and
    `Failure` where a film is missing from the predictions or stands in them twice.
    """
    model, card = load_model(model_uri)
    manifest = dataset.manifest
    differs = card.recipe.difference(manifest.recipe)
    if differs:
        raise UserError(f"{dataset.uri}: packed by another recipe than the model's: {differs}")
    if card.classes != manifest.classes:
        raise UserError(f"{dataset.uri}: its classes are {manifest.classes}, not {card.classes}")
    found = predict.logits(model, dataset, split, card.image_size, device())
    table = _predictions(dataset, split, found)
    labels = found.labels
    values = found.values.astype(np.float64)
    patients = table.column("patient_id").to_pylist()
    estimates = metrics.evaluate(labels, values, patients, threshold=card.threshold)
    confusion = metrics.confusion(labels, metrics.decide(values), len(card.classes))
    return Evaluation(
        split=split,
        films=len(labels),
        patients=len(set(patients)),
        classes=card.classes,
        metrics=estimates,
        confusion=confusion.tolist(),
        threshold=card.threshold,
        model=model_uri,
        epoch=card.epoch,
        dataset=dataset.uri,
        fingerprint=manifest.fingerprint,
        predictions=table,
    )


def each(places: Mapping[int, str], dataset: Dataset, split: str) -> list[dict[str, Any]]:
    """Every checkpoint on a split, as the paper did it; choosing one by it would be cheating."""
    found = []
    for epoch, place in places.items():
        one = evaluate(storage.join(place, "model.safetensors"), dataset, split).to_json()
        found.append({"epoch": epoch, "metrics": one["metrics"], "films": one["films"]})
    return found


def save(evaluation: Evaluation, folder: str) -> None:
    """Write predictions and metrics into a run's `evaluation/`; a look at the test split counts."""
    place = storage.join(folder, evaluation.split)
    out = io.BytesIO()
    pq.write_table(evaluation.predictions, out, compression="zstd")
    storage.write(storage.join(place, PREDICTIONS), out.getvalue())
    document = json.dumps(evaluation.to_json(), indent=1).encode()
    storage.write(storage.join(place, METRICS), document)
    if evaluation.split == "test":
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        storage.write(storage.join(folder, "looks", f"{time}.json"), document)


def _predictions(dataset: Dataset, split: str, found: predict.Logits) -> Any:
    """`predictions.parquet`: the split's index with logits; each film exactly once."""
    index = dataset.index(split)
    names = index.column("sample_id").to_pylist()
    if (found.seen != 1).any() or len(set(names)) != len(names):
        raise Failure(f"{dataset.uri}: {split} films were predicted twice or not at all")
    if (index.column("label").to_numpy() != found.labels).any():
        raise Failure(
            f"{dataset.uri}: the labels of index.parquet and of the {split} shards differ"
        )
    logits = pa.FixedSizeListArray.from_arrays(
        pa.array(found.values.ravel(), pa.float32()), found.values.shape[1]
    )
    classes = json.dumps(dataset.manifest.classes)
    return index.append_column("logits", logits).replace_schema_metadata({"classes": classes})

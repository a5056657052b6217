"""A model judged on a packed split."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from rayograph import storage
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import difference
from rayograph.errors import Failure, UserError, one_line
from rayograph.evaluate import ensemble, inference, points
from rayograph.evaluate import mapping as mappings
from rayograph.evaluate.inference import Inference, Logits
from rayograph.evaluate.mapping import Asked
from rayograph.evaluate.model import LoadedModel, load
from rayograph.evaluate.overlap import known_patients, overlap
from rayograph.runs.card import MODEL, ModelCard
from rayograph.runs.evaluations import Evaluation
from rayograph.task import Labels, Task
from rayograph.task.calibration import calibrated
from rayograph.task.subgroups import COLUMNS, KNOWN_PATIENT, Subgroups, subgroups


@dataclass(frozen=True)
class How:
    """What is asked beside the films: parts of them, other names, other points, more figures.

    `by` names columns of the index; `mapping` says which of the dataset's classes are which of the
    model's. A `point` is a rule by which the operating points are chosen anew, on the validation
    films of the dataset that the model was trained on. Predictive values are given at the
    `prevalences`. `infer` is who predicts.
    """

    by: Sequence[str] = ()
    mapping: Asked = field(default_factory=dict)
    point: str | None = None
    prevalences: Sequence[float] = ()
    infer: Inference = inference.here


def evaluate(
    model_uri: str,
    data: str | None,
    split: str,
    how: How = How(),
) -> Evaluation:
    """Judge a model on every film of a split of `data`, or of the dataset it was trained on.

    And parts of the films, by sex, age, view, maker where they are known; `how` asks for more.

    Raises `UserError` where the dataset was packed by another recipe or the split has a class that
    the model does not know, and `Failure` where a film is missing from the predictions or is in
    them twice, or where the model returns NaN.
    """
    model, dataset = opened(model_uri, data)
    kept = None
    if how.point is not None:
        home = points.home(model, model_uri)
        judged = _logits(model, home, "val", how)
        changed, kept = points.chosen(model, home, judged, how.point)
        model = replace(model, card=model.card.model_copy(update=changed))
    found = _judged(model_uri, model, dataset, split, how)
    return replace(
        found,
        overlap=overlap(model.card, dataset, split, found.predictions),
        subgroups=_parts(model.task, found, how.by),
        chosen_on=kept,
        predictive=points.predictive_values(found, how.prevalences),
    )


def together(
    models: Sequence[str],
    name: str,
    data: str | None,
    split: str,
    how: How = How(),
) -> Evaluation:
    """Models judged together, as `ensemble` says; `name` is what the evaluation has as its model.

    Raises `UserError` also where they do not fit to each other.
    """
    those = [opened(uri, data) for uri in models]
    (first, dataset), task = those[0], those[0][0].task
    folds = {model.card.fold for model, _ in those}
    if (
        split != "test"
        and len(folds) > 1
        and dataset.manifest.fingerprint == first.card.fingerprint
    ):
        raise UserError(f"{name}: each model has another {split} split; judge them on `test`")
    card = ensemble.card([model.card for model, _ in those], models)
    said = [_logits(model, dataset, split, how) for model, _ in those]
    mean = ensemble.logits(task, [each.values for each in said])
    values = replace(said[0], values=mean.astype(np.float32))
    first = replace(first, card=card, digest=ensemble.digest([m.digest for m, _ in those]))
    found = _judged(name, first, dataset, split, how, values)
    return replace(
        found,
        epoch=None,
        models=len(models),
        overlap=overlap(card, dataset, split, found.predictions),
        subgroups=_parts(task, found, how.by),
        operating_rule=None,
        calibration=None,
        predictive=points.predictive_values(found, how.prevalences),
    )


def _parts(task: Task, found: Evaluation, by: Sequence[str]) -> dict[str, Subgroups]:
    """The subgroups of what was judged; `UserError` for a column that the index has not."""
    table = found.predictions
    for name in by:
        if name not in table.column_names:
            raise UserError(
                f"--by {name}: no such column; there are {one_line(', '.join(table.column_names))}"
            )
    names = dict.fromkeys((*(n for n in COLUMNS if n in table.column_names), *by))
    columns = {name: table.column(name).to_pylist() for name in names}
    truth, logits = found.arrays()
    patients = table.column("patient_id").to_pylist()
    return subgroups(task, truth, logits, patients, found.operating_points, columns)


def each(
    places: Mapping[int, str],
    data: str | None,
    split: str,
    how: How = How(),
) -> Iterator[Evaluation]:
    """Every checkpoint on a split, as the paper did it; choosing one by it would be cheating."""
    for place in places.values():
        uri = storage.join(place, MODEL)
        model, dataset = opened(uri, data)
        yield _judged(uri, model, dataset, split, how)


def opened(model_uri: str, data: str | None) -> tuple[LoadedModel, Dataset]:
    """A model, and `data` or the dataset that it was trained on; `UserError` if they do not fit."""
    model = load(model_uri, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    card = model.card
    dataset = Dataset.open(data or card.dataset)
    if dataset.manifest.fingerprint == card.fingerprint:
        dataset = dataset.at_fold(card.fold)
    if dataset.manifest.task != card.task:
        theirs = dataset.manifest.task
        raise UserError(f"{dataset.uri}: its task is {theirs}, the model's is {card.task}")
    differs = difference(card.recipe, dataset.manifest.recipe)
    if differs:
        raise UserError(f"{dataset.uri}: packed by another recipe than the model's: {differs}")
    return model, dataset


def _logits(model: LoadedModel, dataset: Dataset, split: str, how: How) -> Logits:
    """What a model says of a split, over its temperature."""
    found = how.infer(model.network, dataset, split, model.transform, model.task.outputs)
    return replace(found, values=calibrated(found.values, model.card.temperature))


def _judged(
    model_uri: str,
    model: LoadedModel,
    dataset: Dataset,
    split: str,
    how: How,
    said: Logits | None = None,
) -> Evaluation:
    """A model judged by its logits, or by what was `said` otherwise."""
    found = _logits(model, dataset, split, how) if said is None else said
    card, task = model.card, model.task
    known = mappings.truth(task, dataset, split, found.labels, how.mapping)
    table = _predictions(card, dataset, split, found, known.labels).filter(pa.array(known.judged))
    values = found.values[known.judged].astype(np.float64)
    truth = known.labels[known.judged]
    patients = table.column("patient_id").to_pylist()
    try:
        judgement = task.evaluate(truth, values, patients, card.operating_points)
    except ValueError as error:
        raise Failure(f"{model_uri}: {error}") from None
    return Evaluation(
        split=split,
        films=len(values),
        patients=len(set(patients)),
        task=card.task,
        classes=card.classes,
        metrics=judgement.metrics,
        labels=judgement.labels,
        confusion=task.confusion(truth, values, card.operating_points).tolist(),
        operating_points=card.operating_points,
        model=model_uri,
        epoch=card.epoch,
        dataset=dataset.uri,
        fingerprint=dataset.manifest.fingerprint,
        trained_on=card.fingerprint,
        predictions=table,
        unmatched=mappings.unmatched(task, dataset, how.mapping),
        noun=dataset.inputs.noun,
        digest=model.digest,
        mapping=known.mapping,
        left_out=known.left_out,
        temperature=card.temperature,
        operating_rule=card.operating_rule,
        calibration=points.calibration(task, truth, values, card.temperature),
        at_points=points.at_points(task, truth, values, patients, card.operating_points),
    )


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
    own = dataset.manifest.fingerprint == card.fingerprint
    known = known_patients(dataset, films) if own and split == "test" else None
    if known is not None:
        films = films.append_column(KNOWN_PATIENT, known)
    said = {"task": card.task, "classes": json.dumps(card.classes)}
    return films.replace_schema_metadata(said)

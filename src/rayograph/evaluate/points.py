"""What an evaluation says beside its metrics: calibration, and what decisions are worth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rayograph import task as tasks
from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate.inference import Logits
from rayograph.evaluate.model import LoadedModel
from rayograph.runs.evaluations import Evaluation
from rayograph.task import Labels, OperatingPoints, Task, operating, predictive
from rayograph.task.metric import Floats

CALIBRATION = ("loss", "brier", "ece")  # what a temperature changes


def calibration(
    task: Task, labels: Labels, logits: Floats, temperature: float
) -> dict[str, dict[str, float | None]]:
    """The metrics that a temperature changes, before and after it; None where undefined.

    Of labels [n, k] and logits [n, k] that were divided by it.
    """
    metrics = {metric.name: metric for metric in task.metrics}
    found = {}
    for when, values in (("before", logits * temperature), ("after", logits)):
        whole = task.under(labels, values, None)(np.ones((1, len(labels))))
        said = {name: metrics[name].value(whole).item() for name in CALIBRATION}
        found[when] = {k: None if np.isnan(v) else v for k, v in said.items()}
    return found


def at_points(
    task: Task, labels: Labels, logits: Floats, patients: Sequence[str], points: OperatingPoints
) -> dict[str, dict[str, Any]] | None:
    """The sensitivity and specificity of each operating point; None without any."""
    if points is None:
        return None
    decided = task.decide(task.probabilities(logits), points)
    found = predictive.rates(labels, decided, patients, named(task, points))
    return {name: {k: asdict(v) for k, v in own.items()} for name, own in found.items()}


def named(task: Task, points: OperatingPoints) -> dict[str, int]:
    """The columns of the classes or labels that are decided from a probability of their own."""
    given = points or (None,) * len(task.pointed)
    pairs = zip(task.pointed, given, strict=True)
    return {name: task.classes.index(name) for name, point in pairs if points is None or point}


def predictive_values(
    found: Evaluation, prevalences: Sequence[float]
) -> dict[str, list[dict[str, Any]]]:
    """Of each class or label that is decided by itself, its predictive values.

    `UserError` for more than two classes, of which none is, and for what is no prevalence.
    """
    if not prevalences:
        return {}
    predictive.check(prevalences)
    task = tasks.of(found.task, found.classes)
    if not task.pointed:
        raise UserError(
            f"--prevalence: of {len(task.classes)} classes none is a yes or no; it needs two "
            "classes, or labels"
        )
    labels, logits = found.arrays()
    decided = task.decide(task.probabilities(logits), found.operating_points)
    patients = found.predictions.column("patient_id").to_pylist()
    values = predictive.predictive(labels, decided, patients, named(task, None), prevalences)
    return {name: [asdict(each) for each in own] for name, own in values.items()}


def home(model: LoadedModel, place: str) -> Dataset:
    """The dataset that a model was trained on, with its validation films; `UserError` if gone."""
    card = model.card
    if not model.task.pointed:
        raise UserError(
            f"--point: {place}: of {len(card.classes)} classes the likeliest is decided for; an "
            "operating point needs two classes, or labels"
        )
    found = Dataset.open(card.dataset)
    if found.manifest.fingerprint != card.fingerprint:
        raise UserError(f"--point: {card.dataset}: no longer the dataset that {place} is from")
    found = found.at_fold(card.fold)
    if "val" not in found.splits:
        raise UserError(f"--point: {card.dataset}: it has no validation films to choose on")
    return found


def chosen(
    model: LoadedModel, dataset: Dataset, said: Logits, by: str
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """What changes in a model's card by a rule, and how the new points do on validation.

    `said` is of the validation films. `UserError` where the rule chooses nothing on them.
    """
    task, values = model.task, said.values.astype(np.float64)
    points = task.operating_points(said.labels, values, operating.rule(by, "--point"))
    if points is None or not any(points):
        raise UserError(f"--point {by}: undefined, for the validation films are all of one kind")
    patients = index.read(dataset, "val").column("patient_id").to_pylist()
    kept = at_points(task, said.labels, values, patients, points) or {}
    return {"operating_points": points, "operating_rule": by}, kept

"""What an evaluation found, and where it lies in a run's folder. No torch: the report reads it."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.runs import looks
from rayograph.task import Estimate, Labels, OperatingPoints
from rayograph.task.metric import Floats
from rayograph.task.subgroups import Subgroups

PREDICTIONS, METRICS, CHECKPOINTS = "predictions.parquet", "metrics.json", "checkpoints.json"


@dataclass(frozen=True)
class Overlap:
    """How many judged films are among those that a model was trained on, or its epoch chosen by.

    And how many judged patients; None is not known, of films for the reason in `unknown`.
    """

    films: int | None
    patients: int | None = None
    unknown: str | None = None


@dataclass(frozen=True)
class Selection:
    """The best of all checkpoints on the judged films, beside the one that validation chose.

    Exploratory: these films chose it. `lead` is how much better it looks by `metric`, at least 0;
    `expected_by_luck` how much it would, on average, if no checkpoint were better; `p` how often at
    least as much. None is not defined.
    """

    metric: str
    chosen_epoch: int | None
    best_epoch: int | None
    lead: float | None
    expected_by_luck: float | None
    p: float | None
    all_luck: bool | None
    exploratory: bool = True


@dataclass(frozen=True)
class Evaluation:
    """A model judged on a split. `checkpoints` holds one entry an epoch, exploratory.

    `overlap` is None for the test films of the model's own dataset.
    """

    split: str
    films: int
    patients: int
    task: str
    classes: tuple[str, ...]
    metrics: Mapping[str, Estimate]
    labels: Mapping[str, Mapping[str, Estimate]]
    confusion: list[Any]  # as `Task.confusion` counts
    operating_points: OperatingPoints
    model: str
    epoch: int | None  # of the model; None of several together
    dataset: str
    fingerprint: str
    trained_on: str  # the fingerprint of the model's own dataset
    predictions: Any = field(repr=False)  # a pyarrow.Table
    temperature: float = 1.0  # that the logits were divided by; of several together each its own
    operating_rule: str | None = None  # that chose the points; None of several models together
    # of the metrics that calibration is a part of, `before` and `after`; None of several together
    calibration: Mapping[str, Mapping[str, float | None]] | None = None
    # the points' sensitivity and specificity, by class or label; and those on the validation films
    # that they were chosen on, where they were chosen for this evaluation
    at_points: Mapping[str, Mapping[str, Any]] | None = None
    chosen_on: Mapping[str, Mapping[str, Any]] | None = None
    predictive: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    checkpoints: Sequence[Mapping[str, Any]] = ()
    overlap: Overlap | None = None
    unmatched: Sequence[str] = ()  # classes or labels that only model or dataset has, in words
    noun: str = "films"  # what people call its samples
    models: int = 1  # that were judged together, by the mean of their probabilities
    subgroups: Mapping[str, Subgroups] = field(default_factory=dict)  # by column
    selection: Selection | None = None  # with `checkpoints`
    digest: str = ""  # sha256 of the model's file; of several, of their digests
    mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)  # `--map`, model's classes
    left_out: Mapping[str, int] = field(default_factory=dict)  # films of classes mapped to nothing

    def arrays(self) -> tuple[Labels, Floats]:
        """Labels int8 [n, k] and logits [n, k] of the predictions, in their order."""
        labels, logits = (
            self.predictions.column(name).combine_chunks().flatten().to_numpy()
            for name in ("labels", "logits")
        )
        k = len(self.classes)
        return labels.reshape(-1, k), logits.reshape(-1, k).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """The result as `evaluate --json` prints it."""
        apart = ("predictions", "checkpoints", "labels", "selection")
        found = {k: v for k, v in vars(self).items() if k not in apart}
        found["metrics"] = _plain(self.metrics)
        found["overlap"] = self.overlap and asdict(self.overlap)
        found["subgroups"] = {name: asdict(parts) for name, parts in self.subgroups.items()}
        if self.labels:
            found["labels"] = {name: _plain(metrics) for name, metrics in self.labels.items()}
        if self.checkpoints:
            found["checkpoints"] = list(self.checkpoints)
            found["selection"] = self.selection and asdict(self.selection)
        return found


def _plain(metrics: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(value) for name, value in metrics.items()}


def save(evaluation: Evaluation, run: str, command: str = "evaluate") -> None:
    """Write predictions and metrics into a run's `evaluation/`; a look at the test split counts."""
    place = _place(run, evaluation.split)
    out = io.BytesIO()
    pq.write_table(evaluation.predictions, out, compression="zstd")
    storage.write(storage.join(place, PREDICTIONS), out.getvalue())
    found = evaluation.to_json()
    checkpoints = found.pop("checkpoints", None)
    if checkpoints is not None:
        _write(storage.join(place, CHECKPOINTS), checkpoints)
    _write(storage.join(place, METRICS), found)
    look(run, evaluation, command)


def look(run: str | None, evaluation: Evaluation, command: str = "evaluate") -> None:
    """Record that somebody looked at a test split, with the dataset and in the model's run.

    Of a run that is None the model's place tells it. Nothing of other splits; see `looks`.
    """
    looks.record(run, looks.Look.of(evaluation, command))


def restored(run: str, split: str) -> Evaluation | None:
    """What `save` wrote, without checkpoints and subgroups; None of nothing, or another version."""
    saved = load(run, split)
    if saved is None:
        return None
    document, table = saved
    apart = {"predictions", "checkpoints", "selection", "subgroups"}
    found = {f.name: document[f.name] for f in fields(Evaluation) if f.name in {*document} - apart}
    try:
        points, seen = document["operating_points"], document["overlap"]
        found |= {
            "classes": tuple(document["classes"]),
            "operating_points": None if points is None else tuple(points),
            "overlap": None if seen is None else Overlap(**seen),
            "metrics": _estimates(document["metrics"]),
            "labels": {k: _estimates(v) for k, v in document.get("labels", {}).items()},
        }
        return Evaluation(**found, predictions=table)
    except (KeyError, TypeError):
        return None


def _estimates(metrics: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**value) for name, value in metrics.items()}


def load(run: str, split: str) -> tuple[dict[str, Any], Any] | None:
    """What `save` wrote: the JSON document and the predictions' table; None where nothing was."""
    place = _place(run, split)
    if not storage.exists(storage.join(place, METRICS)):
        return None
    found = json.loads(storage.read(storage.join(place, METRICS)))
    if storage.exists(storage.join(place, CHECKPOINTS)):
        found["checkpoints"] = json.loads(storage.read(storage.join(place, CHECKPOINTS)))
    predictions = io.BytesIO(storage.read(storage.join(place, PREDICTIONS)))
    return found, pq.read_table(predictions)


def _place(run: str, split: str) -> str:
    return storage.join(run, "evaluation", split)


def _write(uri: str, document: Any) -> None:
    storage.write(uri, json.dumps(document, indent=1).encode())

"""An audit for shortcuts: how far baselines get that see no anatomy, beside the model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from rayograph.data import index
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.evaluate import kept
from rayograph.evaluate import mapping as mappings
from rayograph.evaluate.audit import features
from rayograph.evaluate.audit.features import Columns, Films
from rayograph.evaluate.evaluation import opened
from rayograph.evaluate.inference import BATCH
from rayograph.evaluate.model import LoadedModel
from rayograph.runs.evaluations import Evaluation
from rayograph.task import ABSENT, PRESENT, Labels, Task, paired
from rayograph.task.estimate import Estimate, percentile
from rayograph.task.metric import Floats

NAME, SPLIT, METRIC = "audit", "test", "auroc"
FILE, THUMBNAIL, BORDER, OUTSIDE, INSIDE = "metadata", "thumbnail", "border", "outside", "inside"
BLIND = (FILE, BORDER, OUTSIDE)  # what sees no anatomy, or hardly any; a thumbnail sees it coarsely
CHANCE = 0.5
SHARE = 0.8  # of the way from chance to the model's AUROC
FEWEST = 10  # films with a label, and without it, below which that label alone is not decided


@dataclass(frozen=True)
class Found:
    """An AUROC beside the model's.

    `lead` is the model's less this one, in the same resamples; `share` how far it gets on the way
    from chance to the model's; `close` by the rule of `close`, None where that cannot be told.
    """

    auroc: Estimate
    lead: Estimate
    share: float | None
    close: bool | None


def audit(model_uri: str, run: str | None, data: str | None) -> dict[str, Any]:
    """The audit as JSON; see docs/formats.md.

    Baselines are fitted on the training split and judged on the test split, which are read once.
    The model's own logits are those that the `run` keeps, else it is judged now. `UserError` of a
    model of records, and of a dataset without training films.
    """
    model, dataset = opened(model_uri, data)
    if dataset.manifest.inputs.kind != "image":
        raise UserError(f"{dataset.uri}: an audit needs films, this dataset has records")
    dataset.split("train")  # raises, before anything is predicted
    found = kept.judged([model_uri], model_uri, run, data, SPLIT, NAME)
    columns, logits = _baselines(model, dataset, found)
    labels, own = found.arrays()
    patients = found.predictions.column("patient_id").to_pylist()
    named = {name: values for name, values in logits.items() if values is not None}
    judgements = _judge(model.task, labels, [own, *named.values()], patients)
    (mine, *others), names = judgements, model.task.classes if model.task.by_label else ()
    return {
        "split": SPLIT,
        "films": found.films,
        "patients": found.patients,
        "fitted_on": dataset.split("train").rows,
        "dataset": dataset.uri,
        "model": model_uri,
        "epoch": found.epoch,
        "auroc": asdict(mine[0].auroc),
        "labels": {name: asdict(each.auroc) for name, each in zip(names, mine[1:], strict=True)},
        "columns": asdict(columns),
        "frame": features.frame(dataset.inputs.shape[0]) / dataset.inputs.shape[0],
        "share": SHARE,
        "fewest": FEWEST,
        "baselines": {
            name: {
                **asdict(first),
                "blind": name in BLIND,
                "labels": {k: asdict(each) for k, each in zip(names, rest, strict=True)},
            }
            for name, (first, *rest) in zip(named, others, strict=True)
        },
    }


def close(auroc: Estimate, lead: Estimate, share: float | None) -> bool | None:
    """Whether a baseline comes close to the model; None where an interval is not defined.

    It is better than chance for certain, and the model is not better for certain, or not by much.
    """
    if auroc.low is None or lead.low is None:
        return None
    return auroc.low > CHANCE and (lead.low <= 0 or (share is not None and share >= SHARE))


def _baselines(
    model: LoadedModel, dataset: Dataset, found: Evaluation
) -> tuple[Columns, Mapping[str, Floats | None]]:
    """Logits of each baseline, in the order of the predictions; None of a file not known."""
    task, masks = model.task, _Masks(model, dataset.split(SPLIT).rows)
    train, test = features.seen(dataset, "train"), features.seen(dataset, SPLIT, masks)
    labels = mappings.truth(task, dataset, "train", train.labels, {}).labels
    tables = index.read(dataset, "train"), index.read(dataset, SPLIT)
    places = {name: i for i, name in enumerate(tables[1].column("sample_id").to_pylist())}
    wanted = found.predictions.column("sample_id").to_pylist()
    if missing := [name for name in wanted if name not in places]:
        raise Failure(f"{dataset.uri}: has no {SPLIT} film {missing[0]}, which was predicted")
    rows = np.array([places[name] for name in wanted])
    columns, of_file = features.columns(tables[0]), None
    if columns.used:
        known = features.metadata(columns.used, tables[0], *tables)
        of_file = features.logits(
            task, partial(features.of_file, columns.used), known[0], labels, known[1][rows]
        )
    pixels = {
        name: features.logits(task, features.of_pixels, own, labels, theirs[rows])
        for name, own, theirs in (
            (THUMBNAIL, train.thumbnail, test.thumbnail),
            (BORDER, train.border, test.border),
        )
    }
    said = {name: values[rows] for name, values in masks.logits.items()}
    return columns, {FILE: of_file, **pixels, **said}


class _Masks:
    """The model on films of which it sees only the border, or only the middle: logits [n, k]."""

    def __init__(self, model: LoadedModel, rows: int) -> None:
        self.model = model
        self.logits = {name: np.empty((rows, model.task.outputs)) for name in (OUTSIDE, INSIDE)}

    @torch.inference_mode()
    def __call__(self, films: Films, rows: Any) -> None:
        """Predict films uint8 [n, P, P] of these rows."""
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            for name, values in self.logits.items():
                seen = features.masked(films[part], middle=name == OUTSIDE)
                values[rows[part]] = self.model.said(seen)


def _judge(
    task: Task, labels: Labels, logits: Sequence[Floats], patients: Sequence[str]
) -> list[list[Found]]:
    """The model, first, and the baselines: each its AUROC, and of several labels each label's."""
    judges = [_columns(task, labels, each) for each in logits]
    whole = np.stack([judge(np.ones((1, len(labels))))[0] for judge in judges])
    drawn = paired.bootstrap(judges, patients)
    few = np.minimum((labels == PRESENT).sum(axis=0), (labels == ABSENT).sum(axis=0)) < FEWEST
    undecided = np.concatenate([[False], few])[: whole.shape[1]]
    fewest = task.fewest(labels, patients)
    return [[*_beside(whole, drawn, row, undecided, fewest)] for row in range(len(logits))]


def _columns(task: Task, labels: Labels, logits: Floats) -> Callable[[Floats], Floats]:
    """AUROC under multiplicities [r, n], and of several labels each label's: [r, 1 + labels]."""
    under = task.under(labels, logits, None)
    metric = next(each for each in task.metrics if each.name == METRIC)

    def judge(weights: Floats) -> Floats:
        given = under(weights)
        found = [metric.value(given)[:, None]]
        if METRIC in task.by_label:
            found.append(task.by_label[METRIC](given))
        return np.concatenate(found, axis=1)

    return judge


def _beside(
    whole: Floats, drawn: Floats, row: int, undecided: Any, fewest: Sequence[int]
) -> Iterator[Found]:
    """One of those judged, [rows, columns] and [r, rows, columns], beside the first.

    `undecided` bool [columns] are of too few films; `fewest` [columns] are of `Task.fewest`.
    """
    for column in range(whole.shape[1]):
        model, own = whole[0, column], whole[row, column]
        auroc = percentile(own, [drawn[:, row, column]], fewest[column])
        both = drawn[:, [row, 0], column]
        lead = paired.difference(own, model, both, fewest[column]).difference
        above = model > CHANCE and not np.isnan(own)
        share = float((own - CHANCE) / (model - CHANCE)) if above else None
        near = None if undecided[column] else close(auroc, lead, share)
        yield Found(auroc, lead, share, near)

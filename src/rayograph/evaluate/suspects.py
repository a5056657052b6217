"""Labels that may be wrong, ranked by models on films that they were not trained on.

The score is cross-entropy less entropy: high where a model is sure of another label, not where it
is unsure (Bernhardt et al., Active label cleaning, Nature Communications 13 (2022) 1161). Each
model's probabilities are fitted to the labels that it ranks first, see `adjusted`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rayograph import task as tasks
from rayograph.data import index, sampling
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate import evaluation, kept
from rayograph.evaluate.adjusted import adjusted
from rayograph.evaluate.evaluation import opened
from rayograph.evaluate.explain import pictures
from rayograph.runs.evaluations import Evaluation
from rayograph.task import ABSENT, PRESENT, Labels, Task
from rayograph.task.metric import Floats

NAME = "suspects"  # of the finding
SHOWN = 24  # films of the gallery

STATES = ("absent", "present")


@dataclass(frozen=True)
class Ranking:
    """Every film (of labels every known label of every film), the most suspicious first.

    `table` has `rank`, `sample_id`, `patient_id`, `part`, `label` (of labels, which of them),
    `given`, `predicted`, `p_given` (as adjusted) and `score` in nats; `models` counts who judged.
    """

    table: Any
    films: int
    models: int
    splits: Sequence[str]
    task: str
    classes: tuple[str, ...]
    noun: str
    dataset: str
    fold_models: bool
    not_ranked: Sequence[str]  # parts of the dataset

    @property
    def contradicted(self) -> int:
        """How many labels are less likely than not."""
        return int((self.table.column("p_given").to_numpy() < 0.5).sum())

    def to_json(self, count: int) -> dict[str, Any]:
        """The first `count` of the ranking, and what was ranked."""
        apart = ("table", "classes")
        found = {k: v for k, v in vars(self).items() if k not in apart}
        first = self.table.slice(0, count).to_pylist()
        return found | {
            "classes": list(self.classes),
            "ranked": len(self.table),
            "contradicted": self.contradicted,
            "suspects": first,
        }


def of_folds(models: Sequence[str]) -> Ranking:
    """The films of all folds, each judged by the model that its fold validated."""
    return _ranked([evaluation.evaluate(uri, None, "val") for uri in models], fold_models=True)


def of_run(model: str, run: str | None) -> Ranking:
    """The validation and test films of one model.

    What the run keeps of it is taken.
    """
    _, dataset = opened(model, None)
    splits = [name for name in ("val", "test") if name in dataset.splits]
    splits = [name for name in splits if _rows(dataset, name)]
    if not splits:
        raise UserError(
            f"{model}: its dataset has neither validation nor test films: there are no films that "
            "it was not trained on"
        )
    found = [kept.judged([model], model, run, None, split, NAME) for split in splits]
    return _ranked(found, fold_models=False)


def _rows(dataset: Dataset, split: str) -> int:
    return sum(dataset.manifest.parts[part].rows for part in dataset.splits[split])


def _not_ranked(dataset: Dataset, ranked: Sequence[Any]) -> list[str]:
    """The parts with films that no ranked table has a film of."""
    seen = {part for table in ranked for part in table.column("part").to_pylist()}
    return [name for name, part in dataset.manifest.parts.items() if part.rows and name not in seen]


def scores(task: Task, labels: Labels, probabilities: Floats) -> Floats:
    """Cross-entropy less entropy, in nats, of labels int8 [n, k] and probabilities [n, k].

    [n, 1] of classes; [n, k] of labels, NaN where one is uncertain or not known. It is 0 where all
    are equally likely, and grows with how sure the model is of another label; of two, it is
    positive where the given one is the less likely.
    """
    tiny = np.finfo(np.float64).tiny
    log = np.log(np.maximum(probabilities, tiny))
    if not task.by_label:
        given = (labels == PRESENT).argmax(axis=1)
        entropy = -(probabilities * log).sum(axis=1)
        return np.asarray(-log[np.arange(len(log)), given] - entropy)[:, None]
    against = np.log(np.maximum(1 - probabilities, tiny))
    entropy = -(probabilities * log + (1 - probabilities) * against)
    score = -np.where(labels == PRESENT, log, against) - entropy
    return np.asarray(np.where(labels >= ABSENT, score, np.nan))


def _ranked(found: Sequence[Evaluation], *, fold_models: bool) -> Ranking:
    task = tasks.of(found[0].task, found[0].classes)
    rows = [row for each in found for row in _rated(task, each)]
    rows.sort(key=lambda row: (-row["score"], row["sample_id"]))
    table = pa.Table.from_pylist([{"rank": i, **row} for i, row in enumerate(rows, start=1)])
    return Ranking(
        table=table,
        films=sum(each.films for each in found),
        models=len({each.model for each in found}),
        splits=[*dict.fromkeys(each.split for each in found)],
        task=task.name,
        classes=task.classes,
        noun=found[0].noun,
        dataset=found[0].dataset,
        fold_models=fold_models,
        not_ranked=_not_ranked(Dataset.open(found[0].dataset), [e.predictions for e in found]),
    )


def _rated(task: Task, found: Evaluation) -> Iterator[dict[str, Any]]:
    """A row for each film, or each known label of each film, with its score."""
    labels, logits = found.arrays()
    probabilities = adjusted(task, labels, logits)
    score = scores(task, labels, probabilities)
    columns = [found.predictions.column(name) for name in ("sample_id", "patient_id", "part")]
    for row, film in enumerate(zip(*(each.to_pylist() for each in columns), strict=True)):
        same = dict(zip(("sample_id", "patient_id", "part"), film, strict=True))
        if not task.by_label:
            given, likeliest = labels[row].argmax(), probabilities[row].argmax()
            yield same | {
                "given": task.classes[given],
                "predicted": task.classes[likeliest],
                "p_given": float(probabilities[row, given]),
                "score": float(score[row, 0]),
            }
            continue
        for k in np.flatnonzero(labels[row] >= ABSENT):
            present, p = bool(labels[row, k] == PRESENT), float(probabilities[row, k])
            yield same | {
                "label": task.classes[k],
                "given": STATES[present],
                "predicted": STATES[p >= 0.5],
                "p_given": p if present else 1 - p,
                "score": float(score[row, k]),
            }


def document(ranking: Ranking, count: int) -> dict[str, Any]:
    """What the report shows: the first of the ranking, and pictures of the first films."""
    found = ranking.to_json(count)
    dataset = Dataset.open(ranking.dataset)
    if len(dataset.inputs.shape) != 2:  # records have no pictures
        return found
    table = index.every(dataset)
    places = {name: row for row, name in enumerate(table.column("sample_id").to_pylist())}
    first = found["suspects"][:SHOWN]
    samples = sampling.at(dataset, table, [places[each["sample_id"]] for each in first])
    for each, sample in zip(first, samples, strict=True):
        each["picture"] = pictures.film(dataset.inputs.pictures(sample[None])[0])
    return found

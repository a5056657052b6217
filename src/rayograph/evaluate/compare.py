"""Models judged on the same samples, each beside the first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rayograph.errors import UserError
from rayograph.evaluate import kept
from rayograph.evaluate.contest import Contest, Judge, contest
from rayograph.evaluate.same import aligned, same_task
from rayograph.runs.evaluations import Evaluation
from rayograph.runs.folder import RunFolder
from rayograph.task import Estimate, Metric, Task, paired
from rayograph.task.estimate import RESAMPLES, percentile
from rayograph.task.paired import Test
from rayograph.task.seeds import Seeds, seeds

SEED = "train.seed"
IRRELEVANT = (  # where a run lay, and what does not change it
    "run.name", "run.storage", "cluster.", "checkpoint.", "data.uri", "data.cache",
    "train.micro_batch",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is compared: its name for people, its model files, and the folder that keeps results.

    `run` is that folder, if it is a run's; several models are judged together.
    """

    name: str
    models: Sequence[str]
    keeps: str | None = None
    run: RunFolder | None = None


@dataclass(frozen=True)
class Judged:
    """One of the compared: its metric with its interval, over the classes and of each label."""

    name: str
    evaluation: Evaluation
    metric: Estimate
    labels: dict[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """Models on the same films; `contests` and `labels` have one entry for each but the first.

    `seeds` is of runs that differ in nothing but the seed.
    """

    metric: Metric
    films: int
    patients: int
    models: Sequence[Judged]
    contests: Sequence[Contest]
    labels: Sequence[dict[str, Contest]]
    seeds: Seeds | None

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` prints it, but for what is said in words."""
        judged = self.models[0].evaluation
        return {
            "split": judged.split,
            "films": self.films,
            "patients": self.patients,
            "task": judged.task,
            "classes": judged.classes,
            "metric": self.metric.name,
            "resamples": RESAMPLES,
            "models": [_model(each) for each in self.models],
            "comparisons": [
                {
                    "model": other.name,
                    "reference": self.models[0].name,
                    **first.to_json(),
                    **({"labels": {k: v.to_json() for k, v in own.items()}} if own else {}),
                }
                for other, first, own in zip(
                    self.models[1:], self.contests, self.labels, strict=True
                )
            ],
            "seeds": self.seeds and asdict(self.seeds),
        }


def _model(found: Judged) -> dict[str, Any]:
    of = found.evaluation
    return {
        "name": found.name,
        "model": of.model,
        "epoch": of.epoch,
        "dataset": of.dataset,
        "fingerprint": of.fingerprint,
        "overlap": of.overlap and asdict(of.overlap),
        **asdict(found.metric),
        **({"labels": {k: asdict(v) for k, v in found.labels.items()}} if found.labels else {}),
    }


def compare(targets: Sequence[Target], data: str | None, split: str, metric: str) -> Comparison:
    """Judge two or more targets on a split of `data`, or of the dataset each was trained on.

    What a run's folder keeps of the same model is taken; all else is judged now. Each of them is a
    look at the test split, which is recorded. `UserError` where the samples, their labels, their
    patients or the classes are not the same, or a model has no such metric.
    """
    found = [
        kept.judged(each.models, each.name, each.keeps, data, split, "compare") for each in targets
    ]
    return of(targets, found, metric)


def of(targets: Sequence[Target], found: Sequence[Evaluation], metric: str) -> Comparison:
    """The comparison of evaluations that are there, one of each target."""
    names = [each.name for each in targets]
    task = same_task(names, found)
    chosen = _metric(task, metric, names, found)
    ids, patients, labels, logits = aligned(names, found)
    judges = [
        Judge(task, chosen, labels, own, each) for own, each in zip(logits, found, strict=True)
    ]
    points = np.stack([judge(np.ones((1, len(ids))))[0] for judge in judges])
    drawn, fewest = paired.bootstrap(judges, patients), task.fewest(labels, patients)
    labelled = task.classes if chosen.name in task.by_label else ()
    places = range(1, len(targets))

    def test(model: int, column: int) -> Test:
        both = drawn[:, [0, model], column]
        return paired.difference(points[0, column], points[model, column], both, fewest[column])

    tests = [test(i, 0) for i in places]
    corrected = paired.holm([each.p for each in tests])
    of_labels = [[test(i, 1 + k) for k in range(len(labelled))] for i in places]
    family = iter(paired.holm([each.p for own in of_labels for each in own]))
    return Comparison(
        metric=chosen,
        films=len(ids),
        patients=len(set(patients)),
        models=[
            Judged(
                name,
                each,
                percentile(points[i, 0], [drawn[:, i, 0]], fewest[0]),
                {
                    label: percentile(points[i, k], [drawn[:, i, k]], fewest[k])
                    for k, label in enumerate(labelled, start=1)
                },
            )
            for i, (name, each) in enumerate(zip(names, found, strict=True))
        ],
        contests=[
            contest(tests[i - 1], corrected[i - 1], judges[0], judges[i], None) for i in places
        ],
        labels=[
            {
                label: contest(of_labels[i - 1][k], next(family), judges[0], judges[i], k)
                for k, label in enumerate(labelled)
            }
            for i in places
        ],
        seeds=seeds(points[:, 0], drawn[:, :, 0], len(set(patients)))
        if _only_seeds_differ(targets, found)
        else None,
    )


def _metric(task: Task, name: str, names: Sequence[str], found: Sequence[Evaluation]) -> Metric:
    """The task's metric of that name, which every model must have."""
    for own, each in zip(names, found, strict=True):
        metrics = {metric.name: metric for metric in task.wanted(each.operating_points)}
        if name not in metrics:
            known = ", ".join(metrics)
            raise UserError(f"--metric {name}: {own} has no such metric; it has {known}")
    if not metrics[name].bounds:
        raise UserError(
            f"--metric {name}: it has no sound interval, so no test; compare by loss or brier, "
            "which calibration is a part of"
        )
    return metrics[name]


def _only_seeds_differ(targets: Sequence[Target], found: Sequence[Evaluation]) -> bool:
    """Whether all are runs of one config and dataset, each with another seed."""
    runs = [each.run for each in targets if each.run is not None]
    if len(runs) < len(targets) or len({each.trained_on for each in found}) > 1:
        return False
    configs = [run.config() for run in runs]
    differing = {key for config in configs for key in configs[0].differences(config)}
    if any(not key.startswith(IRRELEVANT) for key in differing - {SEED}):
        return False
    return len({config.train.seed for config in configs}) == len(configs)

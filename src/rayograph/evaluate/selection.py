"""Every checkpoint of a run on one split, and how much of the best one's lead is luck."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rayograph import task as tasks
from rayograph.evaluate import evaluation
from rayograph.evaluate.evaluation import How
from rayograph.runs.evaluations import Evaluation, Selection
from rayograph.task import paired
from rayograph.task.luck import luck


def with_checkpoints(
    found: Evaluation,
    places: Mapping[int, str],
    data: str | None,
    split: str,
    metric: str,
    how: How,
) -> Evaluation:
    """An evaluation of the model that validation chose, with every checkpoint's beside it.

    The best checkpoint by `metric` on these films is compared with that model.
    """
    each = list(evaluation.each(places, data, split, how))
    rows = [
        {
            "epoch": epoch,
            "films": one.films,
            "metrics": {name: vars(value) for name, value in one.metrics.items()},
        }
        for epoch, one in zip(places, each, strict=True)
    ]
    return replace(found, checkpoints=rows, selection=select(found, each, list(places), metric))


def select(
    found: Evaluation, each: Sequence[Evaluation], epochs: Sequence[int], metric: str
) -> Selection:
    """Which of the checkpoints is best on these films, and by how much, luck included."""
    task = tasks.of(found.task, found.classes)
    chosen = next(one for one in task.metrics if one.name == metric)
    sign = 1 if chosen.better == "higher" else -1

    def judge(of: Evaluation) -> Any:
        labels, logits = of.arrays()
        under = task.under(labels, logits, of.operating_points)
        return paired.under(under, lambda resampled: sign * chosen.value(resampled))

    judges = [judge(one) for one in (found, *each)]
    patients = found.predictions.column("patient_id").to_pylist()
    values = np.stack([one(np.ones((1, len(patients))))[0] for one in judges])
    drawn = paired.bootstrap(judges, patients)
    told = luck(values[0], values[1:], drawn, found.patients)
    return Selection(
        metric=metric,
        chosen_epoch=found.epoch,
        best_epoch=None if told.best is None else epochs[told.best],
        lead=told.lead,
        expected_by_luck=told.expected,
        p=told.p,
        all_luck=told.all_luck,
    )

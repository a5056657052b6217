"""A cross-validation: trials that differ in the fold that validates, taken together."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rayograph import storage, task
from rayograph.errors import UserError
from rayograph.runs.folder import RunFolder
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Trial

FOLD = "data.fold"


@dataclass(frozen=True)
class CrossValidation:
    """One set of options over the folds: the trial of each fold, and their metric."""

    params: Mapping[str, Any]  # without the fold
    trials: Mapping[int, Trial]
    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Over the folds."""
        return statistics.fmean(self.values.values())

    @property
    def deviation(self) -> float | None:
        """Between the folds (n - 1); None of one."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """As `sweep --json` prints it."""
        return {
            "params": dict(self.params),
            "mean": self.mean,
            "deviation": self.deviation,
            "folds": {str(fold): value for fold, value in sorted(self.values.items())},
        }


def cross_validations(trials: Iterable[Trial], select: str) -> list[CrossValidation]:
    """Those of a sweep over `data.fold`, those with most folds first, then the best mean.

    A fold whose trial has no value of the metric is left out.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if FOLD in trial.params and trial.best and trial.best.metrics.get(select) is not None:
            rest = {key: value for key, value in trial.params.items() if key != FOLD}
            groups.setdefault(json.dumps(rest, sort_keys=True), []).append(trial)
    found = [_together(json.loads(key), own, select) for key, own in groups.items()]
    sign = 1 if task.column(select).metric.better == "lower" else -1
    return sorted(found, key=lambda each: (-len(each.values), sign * each.mean))


def best_models(sweep: str) -> list[str]:
    """The model files of the folds of a sweep's best options; `UserError` if it has no folds."""
    folder = SweepFolder(sweep)
    config = folder.config()
    found = cross_validations(folder.ledger(config).trials.values(), config.train.select)
    if not found:
        raise UserError(f"{sweep}: a sweep without folds; give its winner, {folder.best}")
    runs = [trial.best.run for _, trial in sorted(found[0].trials.items()) if trial.best]
    return [RunFolder(storage.join(folder.trials, run)).best_model for run in runs]


def _together(params: Mapping[str, Any], trials: list[Trial], select: str) -> CrossValidation:
    by_fold = {trial.params[FOLD]: trial for trial in trials}
    values = {f: float(t.best.metrics[select] or 0) for f, t in by_fold.items() if t.best}
    return CrossValidation(params, by_fold, values)

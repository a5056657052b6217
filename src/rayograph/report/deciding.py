"""What the page says of probabilities and decisions: calibration, thresholds, predictive values."""

from collections.abc import Mapping, Sequence
from typing import Any

from rayograph import task as tasks
from rayograph.report import words
from rayograph.report.view import EvaluationView, Metrics, estimate

RATES = ("sensitivity", "specificity")


def section(view: EvaluationView, views: Sequence[EvaluationView]) -> dict[str, Any]:
    """The tables of one split; empty where nothing is known. `views` are all of the page's."""
    return {
        "calibration": _calibration(view),
        "travel": _travel(view, views),
        "predictive": [
            [f"{row['prevalence']:g}", name, _share(row, "ppv"), _share(row, "npv")]
            for name, rows in view.predictive.items()
            for row in rows
        ],
    }


def _calibration(view: EvaluationView) -> list[list[str]]:
    """Each metric before and after the temperature; nothing where none was fitted."""
    if view.calibration is None or view.temperature == 1:
        return []
    both = [view.calibration[when] for when in ("before", "after")]
    return [
        [
            tasks.METRICS[name].heading,
            *(words.written(name, each[name]) for each in both),
        ]
        for name in both[0]
    ]


def _travel(view: EvaluationView, views: Sequence[EvaluationView]) -> list[list[str]]:
    """Sensitivity and specificity of each point on the validation films, and on these."""
    if view.split == "val" or not view.at_points:
        return []
    same = (v for v in views if v.split == "val" and v.operating_points == view.operating_points)
    chosen = view.chosen_on or next((v.at_points for v in same), None)
    if not chosen:
        return []
    return [
        [name, rate, *(words.with_interval(each.get(name, {}), rate) for each in (chosen, here))]
        for here in (view.at_points,)
        for name in here
        for rate in RATES
    ]


def _share(row: Mapping[str, Any], name: str) -> str:
    found: Metrics = {"sensitivity": row[name]}  # written as any share is
    if estimate(found, "sensitivity").value is None:
        return "undefined"
    return words.with_interval(found, "sensitivity")

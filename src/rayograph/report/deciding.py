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


def points(view: EvaluationView) -> Mapping[str, Any] | None:
    """A table of two classes' points; None of others: labels have theirs in their own table."""
    if not view.binary:
        return None
    rows = [["the likelier class", "0.500", *_at(view, "")]]
    point = (view.operating_points or (None,))[0]
    if point is not None:
        rows.append(["chosen on the validation split", f"{point:.3f}", *_at(view, "_at_threshold")])
    return {
        "head": ["Decided by", "From probability", "Sensitivity", "Specificity"],
        "rows": rows,
        "missing": point is None,
    }


def _at(view: EvaluationView, suffix: str) -> list[str]:
    names = (f"sensitivity{suffix}", f"specificity{suffix}")
    return [
        words.with_interval(view.metrics, name)
        if estimate(view.metrics, name).value is not None
        else words.NONE
        for name in names
    ]


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

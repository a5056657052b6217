"""Operating points: the probability from which a film counts, and what that gives."""

from collections.abc import Mapping
from typing import Any

from rayograph.report import words
from rayograph.report.view import EvaluationView, estimate


def section(view: EvaluationView) -> Mapping[str, Any] | None:
    """A table of two classes' points; None of others: labels have theirs in their own table."""
    if not view.binary:
        return None
    rows = [["the likelier class", "0.500", *_judged(view, "")]]
    point = (view.operating_points or (None,))[0]
    if point is not None:
        rows.append(
            ["chosen on the validation split", f"{point:.3f}", *_judged(view, "_at_threshold")]
        )
    return {
        "head": ["Decided by", "From probability", "Sensitivity", "Specificity"],
        "rows": rows,
        "missing": point is None,
    }


def _judged(view: EvaluationView, suffix: str) -> list[str]:
    names = (f"sensitivity{suffix}", f"specificity{suffix}")
    return [
        words.with_interval(view.metrics, name)
        if estimate(view.metrics, name).value is not None
        else words.NONE
        for name in names
    ]

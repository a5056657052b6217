"""A run's report as one self-contained HTML page: no script, no request, readable on paper."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any

import numpy as np

from rayograph import task
from rayograph.report import (
    datacard,
    deciding,
    distrust,
    labels,
    luck,
    parts,
    subgroups,
    words,
)
from rayograph.report.checklists import checklists
from rayograph.report.epochs import exploratory, loss_curves, score_curves
from rayograph.report.figures import curves, precision_recall, roc
from rayograph.report.html import config_text, markup, template
from rayograph.report.reliability import reliability
from rayograph.report.verdict import verdict
from rayograph.report.view import (
    EvaluationView,
    RunReport,
    best_row,
    ends,
    measure,
    number,
    watched,
)

__all__ = ["EvaluationView", "RunReport", "render"]

_HEADING = re.compile(r'<h2[^>]*\bid="([^"]+)"[^>]*>([^<]*)</h2>')  # of parts, as they are made
_METRICS = [
    task.column(f"{split}_{name}") for split in ("train", "val", "test") for name in task.METRICS
]
_METRICS.append(task.column(f"val_{task.STRESS.name}"))
_HISTORY = {  # what a run's history holds: how it is headed, how it is written
    "epoch": ("Epoch", "{:g}"),
    **{each.name: (each.heading, each.metric.style) for each in _METRICS},
    "lr": ("Learning rate", "{:.2g}"),
    "films_per_s": ("Films/s", "{:,.0f}"),
    "seconds": ("Seconds", "{:,.1f}"),
}


def render(report: RunReport) -> str:
    """The report as an HTML document; the same report gives the same bytes.

    What is missing (an evaluation, a validation split, a metric that is not defined) is said.
    """
    views = report.evaluations
    sections = [_section(view, f"e{i}", views) for i, view in enumerate(views)]
    others, data = list(parts.sections(report.findings)), datacard.section(report)
    return template("template.html.j2").render(
        report=report,
        sentence=words.sentence(report),
        facts=words.facts(report),
        best=best_row(report),
        ends=ends(report),
        watched=watched(report),
        measure=words.superlative(measure(report)),
        curves={"loss": markup(loss_curves(report)), "scores": markup(score_curves(report))},
        history=_history(report),
        sections=sections,
        parts=others,
        headline=next((s for s in sections if s["view"] is report.judged), None),
        config=config_text(report.config),
        verdict=verdict(report),
        distrust=distrust.distrust(report),
        unknowable=distrust.UNKNOWABLE,
        data=data,
        checklists=checklists(report),
        contents=list(_contents(sections, others, data is not None)),
    )


def _contents(
    sections: Sequence[Mapping[str, Any]], others: Sequence[str], data: bool
) -> Iterator[tuple[str, str]]:
    """Where the page's links lead, and what is there."""
    yield "learning", "Learning"
    yield from ((s["id"], f"The {s['view'].split} split in detail") for s in sections)
    for other in others:
        yield from ((anchor, unescape(title)) for anchor, title in _HEADING.findall(other))
    if data:
        yield "data", "The data"
    yield "reporting", "Reporting checklists"
    yield "config", "How it was made"


def _section(view: EvaluationView, name: str, views: Sequence[EvaluationView]) -> dict[str, Any]:
    """All that the page shows of one split; `name` is what its figures' ids begin with."""
    return {
        "id": name,
        "view": view,
        "tiles": words.metric_rows(view, view.of_task.headline),
        "metrics": words.metric_rows(view),
        "unscored": len(view.labels) - len(view.scored()[0]),
        "labels": labels.section(view, name),
        "subgroups": subgroups.sections(view),
        "points": deciding.points(view),
        "luck": luck.sentence(view),
        "deciding": deciding.section(view, views),
        **({} if view.by_label else _classes(view, name)),
        "exploratory": markup(exploratory(view, f"{name}-exploratory")),
        "checkpoints": _checkpoints(view),
    }


def _classes(view: EvaluationView, name: str) -> dict[str, Any]:
    """What is shown of films of exactly one class."""
    table, ranked = np.asarray(view.confusion, dtype=np.int64), curves(view)
    total = np.maximum(table.sum(axis=1, keepdims=True), 1)
    return {
        "confusion": [
            list(zip(row.tolist(), share.tolist(), strict=True))
            for row, share in zip(table, table / total, strict=True)
        ],
        "roc": markup(roc(view, ranked, f"{name}-roc")),
        "pr": markup(precision_recall(view, ranked, f"{name}-pr")),
        "reliability": markup(reliability(view, f"{name}-reliability")),
    }


def _checkpoints(view: EvaluationView) -> dict[str, Any]:
    """The exploratory table: a head, and a row for each checkpoint."""
    metrics = [row.get("metrics", {}) for row in view.checkpoints]
    names = list(dict.fromkeys(name for row in metrics for name in row))
    cells = [[words.with_interval(row, name) for name in names] for row in metrics]
    epochs = [str(row.get("epoch", words.NONE)) for row in view.checkpoints]
    head = [task.METRICS[name].heading for name in names]
    return {"head": head, "rows": list(zip(epochs, cells, strict=True))}


def _history(report: RunReport) -> dict[str, Any]:
    """Every epoch as a table, without the columns that no epoch has."""
    keys = [k for k in _HISTORY if any(number(row.get(k)) is not None for row in report.history)]
    cells = [[_cell(key, row.get(key)) for key in keys] for row in report.history]
    return {"head": [_HISTORY[key][0] for key in keys], "rows": cells}


def _cell(key: str, value: object) -> str:
    found = number(value)
    if found is None:
        return words.NONE
    return _HISTORY[key][1].format(found).replace("%", words.UNIT)

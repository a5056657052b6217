"""How a model does in parts of the patients: a table a column, and its largest differences."""

from collections.abc import Iterator, Mapping
from typing import Any

from rayograph import task
from rayograph.report import words
from rayograph.report.view import EvaluationView, estimate


def sections(view: EvaluationView) -> list[dict[str, Any]]:
    """What the page shows of each column that the films were judged by."""
    return [
        {
            "name": name,
            "head": [name.capitalize(), view.noun.capitalize(), *_heads(found)],
            "rows": list(_rows(found)),
            "gaps": list(_gaps(found)),
        }
        for name, found in view.subgroups.items()
    ]


def largest(view: EvaluationView) -> Iterator[str]:
    """The largest differences, in words, by each column."""
    for name, found in view.subgroups.items():
        yield from (f"By {name}: {gap}" for gap in _gaps(found))


def _heads(found: Mapping[str, Any]) -> list[str]:
    first = next(iter(found["parts"].values()))
    return [task.METRICS[name].heading for name in first["metrics"]]


def _rows(found: Mapping[str, Any]) -> Iterator[list[str]]:
    for group, part in found["parts"].items():
        cells = [words.with_interval(part["metrics"], name) for name in part["metrics"]]
        yield [group, f"{part['films']:,}", *cells]


def _gaps(found: Mapping[str, Any]) -> Iterator[str]:
    for name, gap in found["gaps"].items():
        own = estimate({name: gap["difference"]}, name)
        value, low, high = (words.written(name, x) for x in (own.value, own.low, own.high))
        told = f"{task.METRICS[name].title} {value} ({low} to {high})"
        yield f"{told} more in {gap['high']} than in {gap['low']}"

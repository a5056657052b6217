"""External tests on the page: a model on films of elsewhere beside its own test films."""

from collections.abc import Iterator, Mapping
from typing import Any

from rayograph import task
from rayograph.report import words
from rayograph.task import Estimate

Document = Mapping[str, Any]


def view(document: Document) -> dict[str, Any]:
    """What the template shows: a table of drops, of labels, prevalences, refits, a dataset each."""
    return {"tests": [_test(found) for found in document.values()]}


def doubts(document: Document) -> list[str]:
    """Each external dataset on which a metric is worse than on the own test films, for certain."""
    told = []
    for found in document.values():
        worse = list(_worse(found))
        if worse:
            told.append(
                f"On other {found['noun']} ({found['name']}, {found['films']:,} {found['noun']}) "
                f"the model is worse than on its own test {found['noun']}: {'; '.join(worse)}."
            )
    return told


def _worse(found: Document) -> Iterator[str]:
    headline = task.of(found["task"], found["classes"]).headline
    for name in headline:
        own = Estimate(**found["metrics"].get(name, {}).get("difference", {"value": None}))
        better = task.METRICS[name].better == "higher"
        end = own.high if better else own.low
        if end is None or (end >= 0 if better else end <= 0):
            continue
        pair = (found["metrics"][name][place]["value"] for place in ("external", "internal"))
        there, here = (words.written(name, value) for value in pair)
        title = task.METRICS[name].title
        low, high = (words.written(name, value) for value in (own.low, own.high))
        change = f"95{words.UNIT} interval of the change {low} to {high}"
        yield f"{title} {there} instead of {here} ({change})"


def _test(found: Document) -> dict[str, Any]:
    return {
        "name": found["name"],
        "films": found["films"],
        "patients": found["patients"],
        "noun": found["noun"],
        "split": found["split"],
        "unknown": found["unknown"],
        "mapping": [f"{ours} is {' or '.join(own)}" for ours, own in found["mapping"].items()],
        "left_out": [f"{name} {count:,}" for name, count in found["left_out"].items()],
        "drops": [[task.METRICS[n].heading, *_drop(n, d)] for n, d in found["metrics"].items()],
        "labels": [
            [label, *_drop("auroc", drops["auroc"])] for label, drops in found["labels"].items()
        ],
        "shares": [
            [name, *(_share(pair[place]) for place in ("internal", "external"))]
            for name, pair in found["prevalence"].items()
        ],
        "refits": _refits(found),
    }


def _drop(name: str, drop: Document) -> list[str]:
    pair = (words.written(name, drop[place]["value"]) for place in ("internal", "external"))
    return [*pair, _written(name, Estimate(**drop["difference"]))]


def _written(name: str, own: Estimate) -> str:
    value = words.written(name, own.value)
    if not own.bounded:
        return value
    return f"{value} ({words.written(name, own.low)} to {words.written(name, own.high)})"


def _share(found: Document | None) -> str:
    value = found["value"] if found else None
    return words.NONE if value is None else f"{100 * value:.1f}{words.UNIT}"


def _refits(found: Document) -> dict[str, Any]:
    """A row for the model as it is and for each number of films; no rows without a refit."""
    first, *others = found["recalibration"]
    names = list(first["metrics"])
    rows = [
        [
            f"{gain['films']:,} {found['noun']}" if gain["films"] else "As it is",
            *(_written(name, Estimate(**gain["metrics"][name])) for name in names),
        ]
        for gain in (first, *others)
    ]
    return {
        "head": ["Refitted on", *(task.METRICS[name].heading for name in names)],
        "rows": rows if others else [],
        "repetitions": max((gain["repetitions"] for gain in others), default=0),
    }

"""External tests and looks at a test split, as text for people."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rayograph import task as tasks
from rayograph.console.layout import grid, lines
from rayograph.task import Estimate

if TYPE_CHECKING:
    from rayograph.runs.looks import Looks


def text(found: Mapping[str, Any]) -> str:
    """The drop, the prevalences, and what recalibration would give."""
    return lines(list(_parts(found)))


def _parts(found: Mapping[str, Any]) -> Iterator[Any]:
    noun = found["noun"]
    yield f"external test on {found['name']}, beside the model's own test {noun}"
    if found["unknown"]:
        yield f"how much that differs from them is unknown: {found['unknown']}"
    elif not found["metrics"]:
        yield f"no class has {noun} in both places: nothing can be compared"
    else:
        table = grid("metric", "internal", "external", "difference (95 %)")
        for name, drop in found["metrics"].items():
            table.add_row(tasks.METRICS[name].title, *_drop(name, drop))
        yield table
        yield "over the classes or labels that both have; intervals by bootstrap over patients"
    for label, drops in found["labels"].items():
        table = (
            table
            if label != next(iter(found["labels"]))
            else grid("label", "AUROC internal", "external", "difference (95 %)")
        )
        table.add_row(label, *_drop("auroc", drops["auroc"]))
    if found["labels"]:
        yield table
    shares = grid("prevalence", "internal", "external")
    for name, pair in found["prevalence"].items():
        shares.add_row(name, *(_share(pair[place]) for place in ("internal", "external")))
    yield shares
    yield from _recalibration(found)


def _drop(name: str, drop: Mapping[str, Any]) -> Iterator[str]:
    metric = tasks.METRICS[name]
    for place in ("internal", "external"):
        yield metric.written(drop[place]["value"])
    own = Estimate(**drop["difference"])
    value = metric.written(own.value)
    yield (
        f"{value} ({metric.written(own.low)} to {metric.written(own.high)})"
        if (own.bounded)
        else value
    )


def _share(found: Mapping[str, Any] | None) -> str:
    value = found and found["value"]
    return "unknown" if value is None else f"{value:.1%}"


def _recalibration(found: Mapping[str, Any]) -> Iterator[Any]:
    first, *others = found["recalibration"]
    noun = found["noun"]
    if not others:
        yield f"too few {noun} to say what recalibration on some of them would give"
        return
    names = list(first["metrics"])
    table = grid("refitted on", *(tasks.METRICS[name].title for name in names))
    for gain in (first, *others):
        cells = [_range(name, gain["metrics"][name]) for name in names]
        table.add_row(f"{gain['films']} {noun}" if gain["films"] else "as it is", *cells)
    yield f"what bias, temperature and threshold refitted on some of these {noun} would give"
    yield table
    repeated = max(gain["repetitions"] for gain in others)
    yield (
        f"on the {noun} that it was not refitted on: the mean of {repeated} random choices, and "
        "the range of 95 % of them"
    )


def _range(name: str, found: Mapping[str, Any]) -> str:
    metric, own = tasks.METRICS[name], Estimate(**found)
    value = metric.written(own.value)
    return (
        f"{value} ({metric.written(own.low)} to {metric.written(own.high)})"
        if (own.bounded)
        else value
    )


def looks(found: "Looks") -> str:
    """How often the test split has been looked at."""
    times = "once" if found.looks == 1 else f"{found.looks} times"
    models = "one model" if found.models == 1 else f"{found.models} models"
    least = "" if found.complete else "at least "
    told = f"this test split has been looked at {least}{times}, by {models}"
    if found.doubtful:
        return f"{told}: what was chosen by it is flattered by it"
    return told

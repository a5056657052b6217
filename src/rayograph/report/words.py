"""What the page says in words and numbers: the opening sentence, the facts, the metric table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rayograph import task
from rayograph.report.view import EvaluationView, Metrics, RunReport, estimate, series

NONE = "–"  # where a value is not defined
UNIT = "\u202f%"  # a narrow space, as it is set
_METHODS = {"wilson": "Wilson", "bootstrap": "patient bootstrap", "none": "none: see below"}


@dataclass(frozen=True)
class MetricRow:
    """A metric as it is printed; `note` are the films it counts."""

    name: str
    value: str
    low: str
    high: str
    interval: str
    method: str
    note: str
    estimate: task.Estimate


def metric_rows(view: EvaluationView, names: Sequence[str] = ()) -> list[MetricRow]:
    """The metrics of these names, or all of them in their own order."""
    return [_row(view, name) for name in names or view.metrics]


def _row(view: EvaluationView, name: str) -> MetricRow:
    found = estimate(view.metrics, name)
    method = _METHODS[view.interval(name)]
    low, high = (written(name, end) for end in (found.low, found.high))
    return MetricRow(
        name=task.METRICS[name].heading,
        value=written(name, found.value),
        low=low,
        high=high,
        interval=interval(name, found) if found.bounded else NONE,
        method=method if found.bounded else NONE,
        note="" if found.value is None else _counted(view, name),
        estimate=found,
    )


def superlative(column: task.Column) -> str:
    """`highest validation AUROC`."""
    most = {"higher": "highest", "lower": "lowest"}[column.metric.better]
    return f"{most} {column.title}"


def written(name: str, value: float | None) -> str:
    """A metric's value, with a space before the percent sign."""
    return task.METRICS[name].written(value).replace("%", UNIT)


def with_interval(metrics: Metrics, name: str) -> str:
    """Value and interval in one cell."""
    found = estimate(metrics, name)
    value = written(name, found.value)
    return f"{value} ({interval(name, found)})" if found.bounded else value


def interval(name: str, found: task.Estimate) -> str:
    """`79.9–93.6 %`."""
    return f"{written(name, found.low).removesuffix(UNIT)}–{written(name, found.high)}"


def _counted(view: EvaluationView, name: str) -> str:
    """`76 of 86 films`, where the confusion matrix says so."""
    table = np.asarray(view.confusion, dtype=np.int64)
    if name == "accuracy":
        return f"{np.trace(table):,} of {table.sum():,} {view.noun}"
    if view.binary and name in ("sensitivity", "specificity"):
        row = 1 if name == "sensitivity" else 0
        return f"{table[row, row]:,} of {table[row].sum():,} {view.classes[row]}"
    return ""


def sentence(report: RunReport) -> str:
    """What was trained on what, as far as the config says."""
    find = _Finder(report.config)
    model, data = find("model.name"), find("data.uri")
    weights, size = find("model.weights"), find("data.image_size")
    epochs, batch, workers = find("train.epochs"), find("train.batch_size"), find("cluster.workers")
    run = str(len(report.history))
    start = model or "A model"
    if weights:
        start += f", starting from {weights},"
    if epochs and run not in ("0", epochs):
        epochs = f"{run} of {epochs}"
    parts = [
        "was trained" if report.history else "is to be trained",
        "on phantom films" if data == "phantom" else f"on {report.noun} of {data}" if data else "",
        f"at {size} × {size} pixels" if size and report.noun == "films" else "",
        f"for {_many(epochs, 'epoch')}" if epochs else "",
        f"in batches of {_many(batch, report.noun.removesuffix('s'))}" if batch else "",
        f"by {_many(workers, 'worker')}" if workers else "",
    ]
    return " ".join([start, *filter(None, parts)]) + "."


class _Finder:
    """Reads `a.b` from a nested mapping; the empty string where there is none."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.tree = tree

    def __call__(self, path: str) -> str:
        found: Any = self.tree
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return "" if found is None else str(found)


def _many(count: str, word: str) -> str:
    return f"{count} {word}" if count == "1" else f"{count} {word}s"


def facts(report: RunReport) -> dict[str, str]:
    """The run in numbers: epochs, time, throughput."""
    if not report.history:
        return {}
    seconds, speed = series(report.history, "seconds"), series(report.history, "films_per_s")
    said = {"Epochs run": f"{len(report.history):,}"}
    if np.isfinite(seconds).any():
        said["Training time"] = duration(float(np.nansum(seconds)))
    if np.isfinite(speed).any():
        said["Throughput, median"] = f"{np.nanmedian(speed):,.0f} films/s"
    return said


def counted(count: int, plural: str) -> str:
    """`films`, or of one `film`."""
    return plural.removesuffix("s") if count == 1 else plural


def listed(names: Sequence[str], most: int = 8) -> str:
    """`a, b and c`; of more than `most` the first and how many more."""
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def times(shape: Sequence[int]) -> str:
    """`1 × 64 × 64`."""
    return " × ".join(map(str, shape))


def duration(seconds: float) -> str:
    """`3 h 17 min`, `4 min 05 s`, `12.3 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60:,} h {minutes % 60:02d} min"

"""Figures over epochs: learning curves, and the exploratory table as a curve; None where empty."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from rayograph import task
from rayograph.report import svg
from rayograph.report.view import (
    EvaluationView,
    RunReport,
    best_row,
    ends,
    estimate,
    measure,
    series,
)

Floats = npt.NDArray[np.float64]

SEEN = " (exploratory)"  # of a split that is watched
_HEIGHT = 190  # points
_LOG_ABOVE = 50  # a loss that spans more than this factor is drawn on a logarithmic scale
_LONG = 32  # letters, of which two do not stand beside each other in a legend
_DASHES = (0, (3, 1.5))
_DOTS_UP_TO = 40  # epochs; more are drawn as a line alone


def loss_curves(report: RunReport) -> str | None:
    """Training and validation loss by epoch, the best epoch marked; of a watched test split, too.

    What is exploratory is dashed, and called so.
    """
    lines = {"training": "train_loss", "validation": "val_loss", f"test{SEEN}": "test_loss"}
    return _learning(report, "loss", "loss", lines)


def score_curves(report: RunReport) -> str | None:
    """Accuracy of training and validation, AUROC, what selects, stress, the best epoch marked."""
    known = {name for row in report.history for name, value in row.items() if value is not None}
    chosen, watched = measure(report), ("test_accuracy", f"test_{measure(report).metric.name}")
    names = dict.fromkeys(("train_accuracy", "val_accuracy", "val_auroc", chosen.name, *watched))
    names |= {name: None for name in (f"val_{task.STRESS.name}",) if name in known}
    columns = [each for each in map(task.column, names) if each.metric.better == "higher"]
    quantity = ", ".join(dict.fromkeys(each.metric.title for each in columns))
    titles = {f"{each.title}{SEEN if each.split == 'test' else ''}": each.name for each in columns}
    return _learning(report, "scores", quantity, titles)


def exploratory(view: EvaluationView, name: str) -> str | None:
    """Accuracy and AUROC of every checkpoint on this split, with their intervals."""
    if not view.checkpoints:
        return None
    epoch = series(view.checkpoints, "epoch")
    shown = [task.METRICS[name].title for name in view.of_task.headline[:2]]
    drawn = []
    with svg.style():
        figure, axes = svg.panel(_HEIGHT, 1)
        for i, (key, label) in enumerate(zip(view.of_task.headline, shown, strict=False), start=1):
            found = [vars(estimate(row.get("metrics", {}), key)) for row in view.checkpoints]
            value, low, high = (series(found, part) for part in ("value", "low", "high"))
            if np.isfinite(value).any():
                axes.plot(epoch, value, **_line(i, epoch), label=f"{view.split} {label}")
                axes.fill_between(epoch, low, high, color=svg.SERIES[i], alpha=0.14, lw=0)
                drawn += [value, low]
        if not drawn:
            return None
        epoch_axis(axes, float(epoch.min()), float(epoch.max()))
        score_axis(axes, np.concatenate(drawn))
        axes.set_ylabel(", ".join(shown))
        svg.legend(figure, axes, 2)
        label = f"exploratory: {' and '.join(shown)} of every checkpoint, {view.split} split"
        return svg.to_svg(figure, name, label)


def _learning(report: RunReport, name: str, quantity: str, keys: dict[str, str]) -> str | None:
    lines = {label: series(report.history, key) for label, key in keys.items()}
    if not any(np.isfinite(values).any() for values in lines.values()):
        return None
    epoch, best = series(report.history, "epoch"), best_row(report)
    which = "last" if ends(report) else "best"
    with svg.style():
        drawn = [label for label, values in lines.items() if np.isfinite(values).any()]
        columns = 1 if max(map(len, drawn)) > _LONG else 2
        figure, axes = svg.panel(_HEIGHT, max(2, len(drawn) // columns + 1))  # and the epoch
        for i, (label, values) in enumerate(lines.items()):
            if np.isfinite(values).any():
                axes.plot(epoch, values, **_line(i, epoch, label.endswith(SEEN)), label=label)
                if best is not None:
                    _ring(axes, epoch[best], values[best], svg.SERIES[i])
        if best is not None:
            svg.guide(axes.axvline, epoch[best], label=f"{which} epoch ({epoch[best]:g})")
        epoch_axis(axes, float(epoch.min()), float(epoch.max()))
        scale = loss_axis if name == "loss" else score_axis
        scale(axes, np.concatenate(list(lines.values())))
        axes.set_ylabel(quantity)
        svg.legend(figure, axes, columns)
        return svg.to_svg(figure, name, f"{quantity} by epoch, at the end: {_ends(lines)}")


def _line(index: int, epoch: Floats, dashed: bool = False) -> dict[str, Any]:
    marker = "o" if len(epoch) <= _DOTS_UP_TO else ""
    return {"color": svg.SERIES[index], "marker": marker, "ls": _DASHES if dashed else "-"}


def _ring(axes: Axes, x: float, y: float, colour: str) -> None:
    if np.isfinite(y):
        axes.plot([x], [y], "o", ms=6.5, mfc=svg.PAPER, mec=colour, mew=1.6, zorder=5)


def epoch_axis(axes: Axes, first: float, last: float, ticks: int = 8) -> None:
    """Whole epochs along x."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=True, min_n_ticks=1))
    axes.grid(visible=False, axis="x")
    margin = max(0.5, 0.03 * (last - first))
    axes.set_xlim(first - margin, last + margin)


def loss_axis(axes: Axes, values: Floats) -> None:
    """Losses along y, from zero, or on a logarithmic scale where they span much."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low > 0 and high > _LOG_ABOVE * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(min(0.0, low), high + 0.06 * (high - min(0.0, low)) or 1.0)


def score_axis(axes: Axes, values: Floats) -> None:
    """Accuracies and AUROCs along y, up to one."""
    low = float(np.nanmin(values))
    bottom = max(0.0, np.floor(10 * (low - 0.02)) / 10)
    axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))


def _ends(lines: dict[str, Floats]) -> str:
    last = {label: values[np.isfinite(values)] for label, values in lines.items()}
    return ", ".join(f"{label} {values[-1]:.3f}" for label, values in last.items() if values.size)

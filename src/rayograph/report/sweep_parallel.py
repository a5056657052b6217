"""Parallel coordinates: an axis for every searched option, the last for the metric."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator

from rayograph.report import svg
from rayograph.report.sweep_view import SweepReport, TrialView, compared
from rayograph.report.sweep_words import metric, setting
from rayograph.report.view import number

Floats = npt.NDArray[np.float64]

RAMP = ("#c6d3df", "#9bb6cf", "#6d98bf", "#3f7aae", "#174f85")  # the worst to the best
_WIDTH, _LEFT, _RIGHT, _SLOT = 720.0, 78.0, 58.0, 250.0  # points; the widest step between axes
_HEIGHT, _FOOT, _HEAD, _LEGEND, _LINE = 230.0, 10.0, 10.0, 22.0, 11.0  # points
_LETTER = 5.1  # points, the width of one at the titles' size
_LABELS = 14  # the most that one axis bears
_LOG_ABOVE = 50  # a loss that spans more than this factor has a logarithmic axis
_MANY = 40  # trials; more are drawn with finer lines


@dataclass(frozen=True)
class _Axis:
    """One vertical line: a height of 0 to 1 for every trial, and what is written beside it."""

    title: str
    heights: Floats  # [trials], NaN where a trial has no value
    ticks: Sequence[tuple[float, str]]


def parallel(report: SweepReport) -> str | None:
    """A line for every trial with a value: the stronger its colour, the better it ranks."""
    trials = compared(report)
    if not trials or not report.scales:
        return None
    drawn = [_option(key, scale, trials) for key, scale in report.scales.items()]
    drawn.append(_metric(report, trials))
    step = min(_SLOT, (_WIDTH - _LEFT - _RIGHT) / (len(drawn) - 1))
    titles = [_folded(axis.title, step) for axis in drawn]
    rows = max(len(title) for title in titles)
    with svg.style():
        total = _FOOT + _HEIGHT + _HEAD + _LINE * rows + _LEGEND
        figure = Figure(figsize=(_WIDTH / 72, total / 72))
        box = (_LEFT / _WIDTH, _FOOT / total, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _HEIGHT / total)
        axes = figure.add_axes(box)
        axes.set(xlim=(0, (_WIDTH - _LEFT - _RIGHT) / step), ylim=(-0.02, 1.02))
        axes.axis("off")
        for x, (axis, title) in enumerate(zip(drawn, titles, strict=True)):
            _upright(axes, x, axis, title, step, last=axis is drawn[-1])
        heights = np.column_stack([axis.heights for axis in drawn])
        for i in reversed(range(len(trials))):
            won = trials[i].name == report.winner
            colour = svg.SERIES[1] if won else _shade(i, len(trials))
            width = 2.4 if won else 1.2 if len(trials) <= _MANY else 0.6
            axes.add_patch(_path(heights[i], edgecolor=colour, lw=width, zorder=7 if won else 3))
        _legend(figure, report, shades=len(trials) > 1)
        said = f"{len(trials)} trials by {', '.join(report.scales)} and {metric(report)}"
        return _themed(svg.to_svg(figure, "parallel", said))


def _shade(rank: int, trials: int) -> str:
    """The colour of a rank from 0, the best, to `trials` - 1."""
    return RAMP[-1 - round((len(RAMP) - 1) * rank / max(trials - 1, 1))]


def _themed(markup: str) -> str:
    """The ramp's colours as variables, which the page sets for dark mode too."""
    for i, colour in enumerate(RAMP):
        markup = markup.replace(colour, f"var(--r{i}, {colour})")
    return markup


def _option(key: str, scale: str, trials: Sequence[TrialView]) -> _Axis:
    values = [trial.params.get(key) for trial in trials]
    found = np.array([np.nan if (v := number(value)) is None else v for value in values])
    if scale == "choice" or not np.isfinite(found).any():
        return _choices(key, values)
    return _numbers(key, found, log=scale == "log" and bool(np.nanmin(found) > 0))


def _metric(report: SweepReport, trials: Sequence[TrialView]) -> _Axis:
    """The last axis: better is higher up, so a loss falls upwards."""
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    log = report.falling and 0 < _LOG_ABOVE * values.min() < values.max()
    axis = _numbers(metric(report), values, log=log)
    if not report.falling:
        return axis
    return _Axis(axis.title, 1 - axis.heights, [(1 - y, text) for y, text in axis.ticks])


def _choices(key: str, values: Sequence[Any]) -> _Axis:
    """A band for every value; within it the trials are spread by rank, so that none is hidden."""
    kinds = _in_order({setting(value): number(value) for value in values})
    place = {kind: (i + 0.5) / len(kinds) for i, kind in enumerate(kinds)}
    heights = np.empty(len(values))
    for kind, centre in place.items():
        own = [i for i, value in enumerate(values) if setting(value) == kind]
        spread = min(0.62 / len(kinds), 0.05 * (len(own) - 1))
        heights[own] = centre + np.linspace(spread / 2, -spread / 2, len(own))
    step = math.ceil(len(kinds) / _LABELS)
    return _Axis(key, heights, [(place[kind], kind) for kind in kinds[::step]])


def _in_order(sizes: dict[str, float | None]) -> list[str]:
    """Numbers by size, words by the alphabet."""
    plain = {kind: size for kind, size in sizes.items() if size is not None}
    return sorted(sizes, key=plain.__getitem__) if len(plain) == len(sizes) else sorted(sizes)


def _numbers(key: str, values: Floats, *, log: bool) -> _Axis:
    """From the lowest value at 0 to the highest at 1; one value alone stands in the middle."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low == high:
        return _Axis(key, np.where(np.isfinite(values), 0.5, np.nan), [(0.5, setting(low))])
    turn = np.log if log else np.asarray
    marks = [float(mark) for mark in _marks(low, high, log=log) if low <= mark <= high]

    def height(value: Any) -> Any:
        return (turn(value) - turn(low)) / (turn(high) - turn(low))

    return _Axis(key, height(values), [(float(height(mark)), setting(mark)) for mark in marks])


def _marks(low: float, high: float, *, log: bool) -> Sequence[float]:
    """Round numbers from about `low` to about `high`: decades, their parts, or even steps."""
    if log and high > 5 * low:
        return LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)).tick_values(low, high)
    return MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)).tick_values(low, high)


def _folded(title: str, width: float) -> list[str]:
    """A key in lines that fit: broken after dots, underscores and spaces."""
    most, lines = int(width / _LETTER), [""]
    for part in re.findall(r"[^._ ]*[._ ]?", title):
        if len(lines[-1]) + len(part) > most:
            lines.append("")
        lines[-1] += part
    return [svg.short(line.strip(), most) for line in lines if line]


def _upright(
    axes: Axes, x: float, axis: _Axis, title: Sequence[str], step: float, *, last: bool
) -> None:
    axes.plot([x, x], [0, 1], color=svg.MUTED, lw=0.8, zorder=8, clip_on=False)
    look: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    for row, line in enumerate(reversed(title)):
        place = (0, _HEAD + _LINE * row)
        axes.annotate(line, (x, 1), place, **look, size=8.5, ha="center")
    room = int((_LEFT if x == 0 else step) / _LETTER) - 2
    paper = {"facecolor": svg.PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    for y, text in axis.ticks:
        axes.plot([x], [y], "_", ms=5, mew=0.8, color=svg.MUTED, zorder=8, clip_on=False)
        place = (6 if last else -6, 0)
        axes.annotate(
            svg.short(text, max(room, 4)), (x, y), place, **look, ha="left" if last else "right",
            size=8, va="center", color=svg.INK, bbox=paper, zorder=9,
        )  # fmt: skip


def _path(heights: Floats, **look: Any) -> PathPatch:
    """A line through the axes that crosses each of them level; none where a value is missing."""
    points: list[tuple[float, float]] = []
    codes: list[np.uint8] = []
    for x, (y, after) in enumerate(pairwise(heights)):
        if np.isfinite([y, after]).all():
            points += [(x, y), (x + 0.4, y), (x + 0.6, after), (x + 1, after)]
            codes += [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    line = Path(np.reshape(points, (-1, 2)), codes)
    return PathPatch(line, facecolor="none", clip_on=False, **look)


def _legend(figure: Figure, report: SweepReport, *, shades: bool) -> None:
    lines = []
    if report.won is not None:
        name = f"{svg.short(report.won.name)}, the winner"
        lines.append(Line2D([], [], color=svg.SERIES[1], lw=2.4, label=name))
    if shades:
        named = {"best": RAMP[-1], "middle": RAMP[2], "worst": RAMP[0]}
        lines += [Line2D([], [], color=colour, label=name) for name, colour in named.items()]
    figure.legend(handles=lines, loc="upper left", bbox_to_anchor=(0, 1), ncols=4)

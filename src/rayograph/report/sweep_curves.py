"""Every trial's selected metric by epoch in one figure; None where no epoch has a value."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rayograph.report import svg
from rayograph.report.epochs import epoch_axis, loss_axis, score_axis
from rayograph.report.sweep_view import SweepReport, TrialView, ranked
from rayograph.report.sweep_words import metric
from rayograph.report.view import series

Floats = npt.NDArray[np.float64]

_WIDTH, _LEFT, _RIGHT, _BOTTOM, _HEIGHT, _LEGEND = 720.0, 42.0, 8.0, 34.0, 240.0, 22.0  # points
_MANY = 40  # trials; more are drawn with finer lines

_LOOKS: dict[str, dict[str, Any]] = {  # by what the legend says, the lowest first
    "stopped early": {"color": svg.SERIES[7], "alpha": 0.5, "lw": 1.1, "marker": "o"},
    "finished": {"color": svg.SERIES[0], "alpha": 0.7, "lw": 1.3},
    "failed, diverged or lost": {"color": svg.SERIES[6], "lw": 1.1, "ls": "--", "marker": "x"},
    "still running": {"color": svg.SERIES[2], "lw": 1.3},
}


def curves(report: SweepReport) -> str | None:
    """The winner above all others; a trial that was stopped or broke ends where it did."""
    trials = [trial for trial in reversed(ranked(report)) if len(_line(report, trial)[0])]
    if not trials:
        return None
    thin = {"lw": 0.6, "ms": 2} if len(trials) > _MANY else {}
    with svg.style():
        figure = Figure(figsize=(_WIDTH / 72, (_BOTTOM + _HEIGHT + _LEGEND) / 72))
        axes = figure.add_axes(_box())
        _winner(axes, report)
        for group, look in _LOOKS.items():
            own = [t for t in trials if _group(t) == group and t.name != report.winner]
            for i, trial in enumerate(own):
                _draw(axes, _line(report, trial), look | thin, "" if i else group)
        _handovers(axes, report)
        epoch_axis(axes, 1, max(trial.epochs for trial in trials), ticks=12)
        axes.set_ylabel(metric(report))
        scale = loss_axis if report.falling else score_axis
        scale(axes, np.concatenate([_line(report, t)[1] for t in trials]))
        svg.legend(figure, axes, 6)
        said = f"{metric(report)} by epoch, {len(trials)} trials: {svg.legend_words(axes)}"
        return svg.to_svg(figure, "curves", said)


def _box() -> tuple[float, float, float, float]:
    total, width = _BOTTOM + _HEIGHT + _LEGEND, _WIDTH - _LEFT - _RIGHT
    return _LEFT / _WIDTH, _BOTTOM / total, width / _WIDTH, _HEIGHT / total


def _line(report: SweepReport, trial: TrialView) -> tuple[Floats, Floats]:
    """Epochs and finite values of the selected metric, float [n] each."""
    epoch, value = series(trial.history, "epoch"), series(trial.history, report.select)
    there = np.isfinite(epoch) & np.isfinite(value)
    return epoch[there], value[there]


def _group(trial: TrialView) -> str:
    if trial.broken:
        return "failed, diverged or lost"
    if trial.state == "stopped":
        return "stopped early"
    return "finished" if trial.state == "finished" else "still running"


def _draw(axes: Axes, line: tuple[Floats, Floats], look: dict[str, Any], label: str) -> None:
    """A curve with a mark at its end; one epoch alone would be no line, so it gets a dot."""
    marked = {"marker": "o" if len(line[0]) == 1 else "", **look}
    axes.plot(*line, **marked, markevery=[-1], label=label)


def _winner(axes: Axes, report: SweepReport) -> None:
    best = report.won
    if best is None:
        return
    epoch, value = _line(report, best)
    colour = svg.SERIES[1]
    label = f"{svg.short(best.name)}, the winner"
    axes.plot(epoch, value, color=colour, lw=2.4, marker="o", zorder=4, label=label)
    at = epoch == best.best_epoch
    look: dict[str, Any] = {"ms": 7.5, "mfc": svg.PAPER, "mec": colour, "mew": 1.8, "zorder": 5}
    axes.plot(epoch[at], value[at], "o", **look, label="its best epoch")


def _handovers(axes: Axes, report: SweepReport) -> None:
    """A diamond where a trial took over weights, dotted to the trial they came from."""
    lines = {t.name: dict(zip(*_line(report, t), strict=True)) for t in report.trials}
    taken = [(trial, event) for trial in report.trials for event in trial.handovers]
    label = "weights taken over"
    for trial, event in taken:
        epoch = event["epoch"]
        value, source = (lines.get(name, {}).get(epoch) for name in (trial.name, event["from"]))
        if value is None:
            continue
        if source is not None:
            axes.plot(
                [epoch] * 2, [value, source], color=svg.INK, lw=1.1, ls=(0, (1.5, 1.2)), zorder=6
            )
        axes.plot([epoch], [value], "D", ms=4.5, color=svg.INK, zorder=6, label=label)
        label = ""

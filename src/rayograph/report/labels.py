"""Several labels a film: every label's AUROC in one figure, small curves each, and a table."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve, roc_curve

from rayograph import task
from rayograph.report import svg, words
from rayograph.report.bands import FEWEST, GRID, Band, Bands, bands
from rayograph.report.html import markup
from rayograph.report.view import EvaluationView, estimate

Floats = npt.NDArray[np.float64]

_ROW, _FOREST = 17.0, 30.0  # points: a label's, and the least height
_SMALL = (150.0, 104.0)  # points
_BOUNDED = ("auroc", "sensitivity", "specificity")  # shown with their intervals


def section(view: EvaluationView, name: str) -> dict[str, Any]:
    """What the page shows of a split's labels; `name` is what its figures' ids begin with."""
    if not view.by_label:
        return {}
    return {
        "forest": markup(_forest(view, f"{name}-forest")),
        "small": list(_curves(view, name)),
        "head": [task.METRICS[each].heading for each in _metrics(view)],
        "rows": list(_rows(view)),
        "defined": _defined(view),
        "fewest": FEWEST,
    }


def _metrics(view: EvaluationView) -> list[str]:
    return list(next(iter(view.by_label.values())))


def _defined(view: EvaluationView) -> int:
    """Labels whose ranking can be judged."""
    found = (estimate(metrics, "auroc").value for metrics in view.by_label.values())
    return sum(value is not None for value in found)


def _states(view: EvaluationView) -> Iterator[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]]:
    """Each label with truth bool [m] and probability [m] of the films in which it is known."""
    labels, probabilities = view.scored()
    for i, label in enumerate(view.classes):
        known = labels[:, i] >= task.ABSENT
        yield label, labels[known, i] == task.PRESENT, probabilities[known, i]


def _rows(view: EvaluationView) -> Iterator[tuple[str, list[str]]]:
    """The table: a label with its films, its metrics, and from which probability it counts."""
    points = view.operating_points or (None,) * len(view.classes)
    for (label, truth, _), point in zip(_states(view), points, strict=True):
        metrics = view.by_label[label]
        cells = [
            words.with_interval(metrics, each)
            if each in _BOUNDED
            else words.written(each, estimate(metrics, each).value)
            for each in _metrics(view)
        ]
        start = "0.5" if point is None else f"{point:.3f}"
        yield label, [f"{truth.sum():,} of {truth.size:,}", *cells, start]


def _forest(view: EvaluationView, name: str) -> str | None:
    """AUROC of every label with its interval, one below the other, and their mean."""
    judged = {**view.by_label, "mean": view.metrics}
    drawn = [(label, estimate(metrics, "auroc")) for label, metrics in judged.items()]
    points = [(label, each.value, each) for label, each in drawn if each.value is not None]
    if len(points) < 2:
        return None
    values = np.array([[e.value, e.low, e.high] for _, _, e in points], float)  # None is NaN
    colours = [svg.SERIES[0]] * (len(points) - 1) + [svg.SERIES[1]]
    with svg.style():
        figure, axes = svg.panel(max(_FOREST, _ROW * len(points)), 0, left=112)
        for y, ((value, low, high), colour) in enumerate(zip(values, colours, strict=True)):
            axes.plot([low, high], [y, y], color=colour, lw=1.2, marker="")
            axes.plot([value], [y], "o" if colour == svg.SERIES[0] else "D", ms=5, color=colour)
        svg.guide(axes.axvline, 0.5, label="chance")
        axes.set_yticks(range(len(points)), [svg.short(label, 20) for label, *_ in points])
        axes.set_ylim(len(points) - 0.4, -0.6)
        axes.set_xlim(min(0.45, np.nanmin(values) - 0.02), 1.02)
        axes.set_xlabel("AUROC")
        axes.grid(visible=False, axis="y")
        told = "; ".join(f"{label} {value:.3f}" for label, value, _ in points)
        return svg.to_svg(figure, name, f"AUROC by label, {view.split} split: {told}")


def _curves(view: EvaluationView, name: str) -> Iterator[dict[str, Any]]:
    """Each label, its areas in words, and small curves; without those where it is undefined."""
    labels, probabilities = view.scored()
    truth, known = labels == task.PRESENT, labels >= task.ABSENT
    drawn = bands(truth, probabilities, view.patients_of_scored(), known)
    for i, (label, own, score) in enumerate(_states(view)):
        if not 0 < own.sum() < own.size:
            continue
        x, y, _ = roc_curve(own, score)
        precision, recall, _ = precision_recall_curve(own, score, drop_intermediate=True)
        metrics = view.by_label[label]
        enough = min(own.sum(), own.size - own.sum()) >= FEWEST
        found = drawn[i] if enough else Bands(None, None)
        shown = slice(None) if precision[-2] == 1 else slice(-1)  # scikit-learn adds (0, 1)
        area, mean = (
            words.written(each, estimate(metrics, each).value)
            for each in ("auroc", "average_precision")
        )
        share = float(own.mean())
        yield {
            "label": label,
            "auroc": area,
            "average_precision": mean,
            "roc": _small(
                f"{name}-roc{i}", f"ROC curve of {label}: AUROC {area}", x, y, found.roc, (0, 1)
            ),
            "pr": _small(
                f"{name}-pr{i}", f"Precision by recall of {label}: average precision {mean}",
                recall[shown], precision[shown], found.precision, (share, share),
            ),
        }  # fmt: skip


def _small(
    name: str, said: str, x: Floats, y: Floats, band: Band | None, chance: tuple[float, float]
) -> Any:
    """A small curve with its band and what guessing gives."""
    with svg.style():
        figure, axes = svg.small_panel(*_SMALL)
        axes.plot(*svg.thin(x, y), color=svg.SERIES[0])
        svg.band(axes, GRID, band, svg.SERIES[0])
        svg.guide(axes.plot, [0, 1], chance, label="chance")
        svg.unit_square(axes, "", "")
        axes.set_xticks([0, 1])
        axes.set_yticks([0, 1])
        return markup(svg.to_svg(figure, name, said))

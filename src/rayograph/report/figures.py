"""Figures of one split's ranking: ROC, precision and recall with bands; None where undefined.

With two classes the positive one is drawn; with more, each against the rest.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from rayograph.report import svg
from rayograph.report.bands import FEWEST, GRID, Bands, bands
from rayograph.report.view import EvaluationView, estimate

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_SQUARE = 250.0  # points
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)))


@dataclass(frozen=True)
class Curve:
    """Class `index` against the rest: truth bool [m], score float [m], and its bands."""

    index: int
    truth: Bools
    score: Floats
    bands: Bands


def curves(view: EvaluationView) -> list[Curve]:
    """The positive class, or each class; without those of which a split has all films or none."""
    labels, probabilities = view.scored()
    wanted = [1] if view.binary else range(len(view.classes))
    found = [(c, labels == c) for c in wanted if 0 < (labels == c).sum() < labels.size]
    if not found:
        return []
    places, truth = zip(*found, strict=True)
    scores = probabilities[:, places]
    drawn = bands(np.stack(truth, axis=1), scores, view.patients_of_scored())
    few = [min(own.sum(), own.size - own.sum()) < FEWEST for own in truth]
    drawn = [Bands(None, None) if none else own for own, none in zip(drawn, few, strict=True)]
    return [Curve(*each) for each in zip(places, truth, scores.T, drawn, strict=True)]


def roc(view: EvaluationView, curves: list[Curve], name: str) -> str | None:
    """ROC curve with the chance diagonal, AUROC with its interval, and the decision."""
    if not curves:
        return None
    with svg.style():
        figure, axes = svg.panel(_SQUARE, _legend_rows(view, curves))
        for curve in curves:
            x, y, _ = roc_curve(curve.truth, curve.score)
            area = _area(view, curve, "auroc", "AUROC", roc_auc_score)
            axes.plot(*svg.thin(x, y), **_look(curve), label=area)
            svg.band(axes, GRID, curve.bands.roc, _look(curve)["color"])
            sensitivity, specificity, _ = _decided(view, curve.index)
            said = f"decision: sensitivity {sensitivity:.3f}, specificity {specificity:.3f}"
            _ring(axes, 1 - specificity, sensitivity, curve, said if view.binary else None)
        svg.guide(axes.plot, [0, 1], [0, 1], label="chance")
        svg.unit_square(axes, "1 − specificity", "sensitivity")
        svg.legend(figure, axes, 1 if view.binary else 2)
        return svg.to_svg(figure, name, f"ROC, {view.split} split: {svg.legend_words(axes)}")


def precision_recall(view: EvaluationView, curves: list[Curve], name: str) -> str | None:
    """Precision against recall with average precision, the prevalence, and the decision."""
    if not curves:
        return None
    with svg.style():
        figure, axes = svg.panel(_SQUARE, _legend_rows(view, curves))
        for curve in curves:
            y, x, _ = precision_recall_curve(curve.truth, curve.score, drop_intermediate=True)
            area = _area(view, curve, "average_precision", "AP", average_precision_score)
            axes.plot(*svg.thin(x, y), **_look(curve), drawstyle="steps-post", label=area)
            svg.band(axes, GRID, curve.bands.precision, _look(curve)["color"])
            sensitivity, _, precision = _decided(view, curve.index)
            said = f"decision: recall {sensitivity:.3f}, precision {precision:.3f}"
            _ring(axes, sensitivity, precision, curve, said if view.binary else None)
        if view.binary:
            share = float(curves[0].truth.mean())
            svg.guide(axes.plot, [0, 1], [share, share], label=f"chance (prevalence {share:.3f})")
        svg.unit_square(axes, "recall (sensitivity)", "precision")
        svg.legend(figure, axes, 1 if view.binary else 2)
        words = svg.legend_words(axes)
        return svg.to_svg(figure, name, f"Precision and recall, {view.split} split: {words}")


def _decided(view: EvaluationView, index: int) -> tuple[float, float, float]:
    """Sensitivity, specificity and precision of a class as decided; NaN where undefined."""
    table = np.asarray(view.confusion, dtype=np.float64)
    hits, truth, called = table[index, index], table[index].sum(), table[:, index].sum()
    rest = table.sum() - truth
    with np.errstate(invalid="ignore"):
        return hits / truth, 1 - (called - hits) / rest, hits / called


def _area(
    view: EvaluationView,
    curve: Curve,
    metric: str,
    word: str,
    area: Callable[[Bools, Floats], float],
) -> str:
    """What the legend says: the class and its area, with the interval where one was measured."""
    if not view.binary:
        return f"{svg.short(view.classes[curve.index], 16)}  {area(curve.truth, curve.score):.3f}"
    found = estimate(view.metrics, metric)
    if found.value is None:
        return f"{word} {area(curve.truth, curve.score):.3f}"
    interval = f" (95 % CI {found.low:.3f}–{found.high:.3f})" if found.bounded else ""
    return f"{word} {found.value:.3f}{interval}"


def _look(curve: Curve) -> dict[str, Any]:
    turn, colour = divmod(curve.index, len(svg.SERIES))
    return {"color": svg.SERIES[colour], "ls": _DASHES[turn % len(_DASHES)]}


def _ring(axes: Axes, x: float, y: float, curve: Curve, label: str | None) -> None:
    colour = _look(curve)["color"]
    if np.isfinite([x, y]).all():
        axes.plot(
            [x],
            [y],
            "o",
            ms=7,
            mfc=svg.PAPER,
            mec=colour,
            mew=1.6,
            zorder=5,
            clip_on=False,
            label=label,
        )


def _legend_rows(view: EvaluationView, curves: list[Curve]) -> int:
    return 3 if view.binary else math.ceil((len(curves) + 1) / 2)

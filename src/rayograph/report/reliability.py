"""The reliability diagram: do predicted probabilities come true? None where there are no films."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from scipy.stats import binomtest

from rayograph.report import svg
from rayograph.report.view import EvaluationView

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_HEIGHT, _FOOT, _GAP = 172.0, 64.0, 14.0  # points
_BINS, _FEW_BINS, _FEW_FILMS = 10, 5, 200


@dataclass(frozen=True)
class _Bin:
    """The films whose score falls between two edges."""

    score: float  # mean
    films: int
    hits: int

    @property
    def share(self) -> float:
        return self.hits / self.films


def reliability(view: EvaluationView, name: str) -> str | None:
    """Share of films that are positive by predicted probability, above a histogram of the scores.

    With more than two classes: share of right decisions by the probability of the decided class.
    Bins are equally wide; bars are 95 % Wilson intervals.
    """
    labels, probabilities = view.scored()
    if not labels.size:
        return None
    score = probabilities[:, 1] if view.binary else probabilities.max(axis=1)
    hit = labels == 1 if view.binary else labels == probabilities.argmax(axis=1)
    edges = np.linspace(0, 1, (_BINS if labels.size > _FEW_FILMS else _FEW_BINS) + 1)
    bins = _binned(score, hit, edges)
    names = [svg.short(c, 18) for c in view.classes] if view.binary else ["wrong", "right"]
    with svg.style():
        figure, axes = svg.panel(_HEIGHT, 2, below=_FOOT + _GAP)
        foot = svg.lower_panel(figure, axes, _FOOT)
        _diagram(axes, bins, f"share {names[1]}")
        _histogram(foot, [score[~hit], score[hit]], edges, names)
        svg.legend(figure, axes, 2, foot)
        spoken = "; ".join(f"at {b.score:.2f}, {b.hits} of {b.films}" for b in bins)
        return svg.to_svg(figure, name, f"Reliability, {view.split} split: {spoken}")


def _diagram(axes: Axes, bins: list[_Bin], quantity: str) -> None:
    svg.guide(axes.plot, [0, 1], [0, 1], label="perfect calibration")
    x, y = [b.score for b in bins], np.array([b.share for b in bins])
    intervals = [binomtest(b.hits, b.films).proportion_ci(method="wilson") for b in bins]
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    bars = np.clip([y - low, high - y], 0, 1)
    axes.errorbar(
        x,
        y,
        bars,
        color=svg.SERIES[0],
        lw=1.4,
        elinewidth=0.9,
        marker="o",
        ms=4.5,
        label="films by score",
    )
    svg.unit_square(axes, "", quantity)
    axes.tick_params(labelbottom=False)


def _histogram(axes: Axes, parts: list[Floats], edges: Floats, names: list[str]) -> None:
    fine = np.linspace(0, 1, 2 * len(edges) - 1)
    axes.hist(
        parts,
        bins=fine.tolist(),
        stacked=True,
        rwidth=0.86,
        label=names,
        color=[svg.SERIES[7], svg.SERIES[1]],
    )
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlabel="predicted probability", ylabel="films")


def _binned(score: Floats, hit: Bools, edges: Floats) -> list[_Bin]:
    which = np.clip(np.digitize(score, edges) - 1, 0, len(edges) - 2)
    inside = [which == i for i in range(len(edges) - 1)]
    return [
        _Bin(float(score[films].mean()), int(films.sum()), int(hit[films].sum()))
        for films in inside
        if films.any()
    ]

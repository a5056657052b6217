"""Matplotlib figures as SVG that takes its colours and its type from the page around it.

Colours are drawn as fixed hex values and come out as CSS variables with that value to fall back
on, so one figure serves the light page, the dark page and paper.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

INK, MUTED, RULE, PAPER = "#20242b", "#68707c", "#dcdfe4", "#fdfdfc"
SERIES = ("#1f5f99", "#b8481f", "#2f7d5b", "#8a4a8f", "#96700b", "#3d7f8f", "#a33a5c", "#5d6470")
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"} | {
    colour: f"--s{index}" for index, colour in enumerate(SERIES)
}
_WIDTH, _LEFT, _RIGHT, _BOTTOM, _ROW = 345.0, 42.0, 8.0, 34.0, 14.0  # points
_POINTS = 1000

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called `$x_1$`
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelpad": 5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "butt",
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
    "legend.labelspacing": 0.4,
    "svg.fonttype": "none",
    "path.simplify": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this: the report's look, whatever the user's matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the glyph
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def panel(
    height: float, legend_rows: int, below: float = 0, left: float = _LEFT
) -> tuple[Figure, Axes]:
    """A figure whose axes are `height` points high under `legend_rows` rows of legend.

    `below` keeps that many points free under the axes, `left` beside them.
    """
    total = _BOTTOM + below + height + _ROW * legend_rows + 8
    figure = Figure(figsize=(_WIDTH / 72, total / 72))
    return figure, figure.add_axes(_box(_BOTTOM + below, height, total, left))


def small_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many points, for one of many; its axes leave room for their ticks."""
    figure = Figure(figsize=(width / 72, height / 72))
    return figure, figure.add_axes((14 / width, 16 / height, 1 - 22 / width, 1 - 22 / height))


def lower_panel(figure: Figure, above: Axes, height: float) -> Axes:
    """Axes at the foot of the figure, as wide as those above them and sharing their x."""
    total = figure.get_figheight() * 72
    return figure.add_axes(_box(_BOTTOM, height, total), sharex=above)


def _box(
    bottom: float, height: float, total: float, left: float = _LEFT
) -> tuple[float, float, float, float]:
    width = _WIDTH - left - _RIGHT
    return left / _WIDTH, bottom / total, width / _WIDTH, height / total


def legend(figure: Figure, axes: Axes, columns: int, *others: Axes) -> None:
    """One legend for all these axes above the first, where it can cover no curve."""
    handles: list[Artist] = []
    labels: list[str] = []
    for each in (axes, *others):
        drawn, said = each.get_legend_handles_labels()
        handles += drawn
        labels += said
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, 1), ncols=columns)


def guide(draw: Callable[..., Any], *points: Any, label: str) -> None:
    """A thin dashed line behind the curves: chance, prevalence, the best epoch."""
    draw(*points, color=MUTED, lw=0.9, ls=(0, (2.5, 2)), marker="", label=label, zorder=1.5)


def band(axes: Axes, x: Floats, bounds: tuple[Floats, Floats] | None, colour: str) -> None:
    """The 95 % band of a curve, in its colour; nothing where there is none."""
    if bounds is not None:
        axes.fill_between(x, *bounds, color=colour, alpha=0.14, lw=0)


def thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """At most a thousand points of a curve, evenly along it: a fifth of a point apart on paper."""
    if len(x) <= _POINTS:
        return x, y
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], _POINTS)))
    return x[kept], y[kept]


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Axes from 0 to 1 both ways, with room for a curve that runs along the frame."""
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), xlabel=x, ylabel=y)
    ticks = (0, 0.2, 0.4, 0.6, 0.8, 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def legend_words(axes: Axes) -> str:
    """What the legend says, in one line."""
    return "; ".join(axes.get_legend_handles_labels()[1])


def short(text: str, length: int = 24) -> str:
    """Text that XML can hold, on one line, cut to `length` characters."""
    clean = "".join(letter if letter.isprintable() else "�" for letter in text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def to_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an inline SVG whose ids begin with `name`; `label` says it to a screen reader.

    The same figure gives the same bytes. Two figures of one page need two names.
    """
    sheet = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(sheet, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(sheet.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _adapt(element, name)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "aria-label": label,
        "style": "stroke-linejoin: round; stroke-linecap: butt",
    }
    return ET.tostring(root, encoding="unicode")


def _adapt(element: ET.Element, name: str) -> None:
    """Drop namespaces, prefix ids and what points at them, and put variables for colours."""
    element.tag = element.tag.rpartition("}")[2]
    for key, value in list(element.attrib.items()):
        del element.attrib[key]
        element.set(key.rpartition("}")[2], _attribute(key.rpartition("}")[2], value, name))


def _attribute(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "clip-path":
        return value.replace("url(#", f"url(#{name}-")
    if key == "d":
        return " ".join(value.split())
    if key == "style":
        value = re.sub(r"font-family: [^;]*;\s*", "", value)
        for colour, variable in _VARIABLES.items():
            value = value.replace(colour, f"var({variable}, {colour})")
    return value

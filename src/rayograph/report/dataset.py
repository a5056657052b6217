"""One picture of a dataset: prevalence by split, who was taken and how, gray levels, some films."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from rayograph.data.inspection import Look, Summary
from rayograph.report import svg
from rayograph.task.estimate import wilson

Draw = Callable[[Axes], None]

_WIDTH, _ROW, _FILMS = 12.0, 2.1, 1.62  # inches: the figure, a row of panels, a row of films
_COLUMNS, _ACROSS = 2, 7  # panels, and films, side by side
_CLASSES, _VALUES = 24, 6  # shown at most
_DPI = 130
_TITLES = {"view": "views", "sex": "sexes", "modality": "modalities", "manufacturer": "made by"}


def picture(found: Summary) -> bytes:
    """A PNG of what `inspect` found; a subject that the dataset does not know has no panel."""
    panels = [*_panels(found)]
    classes = found.manifest.classes[:_CLASSES]
    rows = -(-len(panels) // _COLUMNS)
    upper = max(rows * _ROW, 1.2 + 0.15 * len(classes) * max(2, len(found.splits)))
    films = [] if found.look is None else [*_films(found.look)]
    lower = _FILMS * (-(-len(films) // _ACROSS))
    with svg.style(), mpl.rc_context({"axes.facecolor": svg.PAPER}):
        figure = Figure(figsize=(_WIDTH, upper + lower + 0.9), facecolor=svg.PAPER)
        total = upper + lower + 0.9
        figure.text(0.02, 1 - 0.3 / total, _head(found), va="center", size=12, weight="bold")
        grid = figure.add_gridspec(
            1, 2, left=0.13, right=0.975, top=1 - 0.75 / total, bottom=(lower + 0.5) / total,
            width_ratios=(1, 1.75), wspace=0.2,
        )  # fmt: skip
        _prevalence(figure.add_subplot(grid[0]), found, classes)
        inner = GridSpecFromSubplotSpec(max(rows, 1), _COLUMNS, grid[1], hspace=0.62, wspace=0.42)
        for place, (title, draw) in enumerate(panels):
            axes = figure.add_subplot(inner[place])
            axes.set_title(title, size=9, loc="left", color=svg.INK)
            draw(axes)
        _contact(figure, films, lower / total)
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=_DPI, metadata={"Software": None})
    return out.getvalue()


def _head(found: Summary) -> str:
    counts = [f"{name} {split.films:,}" for name, split in found.splits.items()]
    return f"{svg.short(found.manifest.name, 60)}: {', '.join(counts)} {found.manifest.inputs.noun}"


def _prevalence(axes: Axes, found: Summary, classes: Sequence[str]) -> None:
    """A dot for each class and split, with the interval of its prevalence."""
    step = 0.7 / max(len(found.splits), 1)
    for i, (name, split) in enumerate(found.splits.items()):
        colour = svg.SERIES[i % len(svg.SERIES)]
        for row, label in enumerate(classes):
            known = split.films - split.unknown[label]
            share = wilson(split.labels[label], known)
            if share.value is None or share.low is None or share.high is None:
                continue
            y = row + (i - (len(found.splits) - 1) / 2) * step
            axes.plot([100 * share.low, 100 * share.high], [y, y], color=colour, lw=1.2, alpha=0.5)
            said = name if row == 0 else None
            axes.scatter([100 * share.value], [y], 16, colour, label=said, clip_on=False, zorder=3)
    axes.set_yticks(range(len(classes)), [svg.short(name, 20) for name in classes])
    axes.set(ylim=(len(classes) - 0.4, -0.6), xlabel="prevalence [%], with its 95 % interval")
    axes.set_xlim(left=0)
    axes.grid(axis="y", visible=False)
    columns = min(len(found.splits), 4)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, handletextpad=0.2)
    if len(found.manifest.classes) > len(classes):
        more = f"the first {len(classes)} of {len(found.manifest.classes)}"
        axes.set_title(more, size=8, loc="right", color=svg.MUTED)


def _panels(found: Summary) -> Iterator[tuple[str, Draw]]:
    census = found.census
    for name, column in census.columns.items():
        if column.counts:
            yield _TITLES.get(name, f"{name}s"), _bars(column.counts, column.unknown)
    if ages := census.ages:
        yield f"ages [years], median {ages.median:g}", _ages(ages.decades)
    if (sizes := census.sizes) and sizes.counts:
        yield "sizes as they came [pixels]", _bars(sizes.counts, sizes.unknown)
    if found.look:
        yield f"gray levels of {found.look.films:,} films", _levels(found.look.levels)
    told: dict[str, int] = {
        title: census.signs[name].samples
        for name, title in (("inverted", "inverted?"), ("coloured", "colour"), ("burnt_in", "text"))
        if name in census.signs
    }
    told["copies"] = census.copies.samples
    rejected = found.manifest.rejected
    yield "what to look at", _bars({**told, "rejected": rejected}, 0)
    gaps = {name: share for name, share in found.missing.items() if share > 0}
    if found.missing:
        ordered = dict(sorted(gaps.items(), key=lambda item: -item[1]))
        title = "missing values [%]" if gaps else "missing values: none"
        yield title, _bars({name: 100 * share for name, share in ordered.items()}, 0, "{:.1f}")
    widths = {name: half for name, half in found.auroc.items() if half is not None}
    if widths:
        title = f"test AUROC of {found.auroc_assumed:g}: its 95 % interval, ±"
        widest = dict(sorted(widths.items(), key=lambda item: -item[1]))
        yield title, _bars(widest, 0, "{:.3f}")


def _bars(counts: Mapping[str, float], unknown: int, form: str = "{:,.0f}") -> Draw:
    """Horizontal bars, the commonest above, each with its number."""
    shown = dict(list(counts.items())[:_VALUES])
    if len(counts) > _VALUES and form == "{:,.0f}":
        shown[f"{len(counts) - _VALUES} more"] = sum(list(counts.values())[_VALUES:])
    if unknown:
        shown["not known"] = unknown

    def draw(axes: Axes) -> None:
        places = range(len(shown))
        axes.barh(places, list(shown.values()), height=0.62, color=svg.SERIES[0])
        top = max([*shown.values(), 1e-9])
        for place, value in zip(places, shown.values(), strict=True):
            axes.text(value + 0.02 * top, place, form.format(value), va="center", size=8.5)
        axes.set_yticks(places, [svg.short(name, 14) for name in shown])
        axes.set(ylim=(max(len(shown), 3) - 0.4, -0.6), xlim=(0, 1.22 * top))
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)

    return draw


def _ages(decades: Sequence[int]) -> Draw:
    def draw(axes: Axes) -> None:
        starts = np.arange(len(decades)) * 10
        axes.bar(starts, decades, width=9.2, align="edge", color=svg.SERIES[0])
        axes.set(xlim=(0, max(100, starts[-1] + 10)), ylim=(0, None))
        axes.grid(axis="x", visible=False)
        axes.locator_params(axis="y", nbins=4, integer=True)

    return draw


def _levels(levels: Sequence[int]) -> Draw:
    def draw(axes: Axes) -> None:
        shares = 100 * np.asarray(levels) / max(sum(levels), 1)
        axes.fill_between(range(len(shares)), shares, step="mid", color=svg.SERIES[0], lw=0)
        usual = float(np.percentile(shares, 97))  # what black beside the films must not flatten
        top = min(float(shares.max()), 1.5 * usual) or 1.0
        axes.set(xlim=(-2, 257), ylim=(0, 1.05 * top), xticks=(0, 64, 128, 192, 255))
        if shares[0] > top:  # the black beside the films
            axes.text(6, 0.98 * top, f"0: {shares[0]:.0f} %", va="top", size=8, color=svg.MUTED)
        axes.set_ylabel("%")
        axes.grid(axis="x", visible=False)

    return draw


def _films(look: Look) -> Iterator[tuple[str, np.ndarray]]:
    yield from (("", film) for film in look.shown)
    if len(look.inverted):
        empty = -len(look.shown) % _ACROSS
        yield from (("", np.empty((0, 0), np.uint8)) for _ in range(empty))
        yield from (("inverted?", film) for film in look.inverted)


def _contact(figure: Figure, films: Sequence[tuple[str, np.ndarray]], height: float) -> None:
    """Films in rows at the foot of the figure; each suspected inverted one says so."""
    rows = -(-len(films) // _ACROSS)
    for place, (said, film) in enumerate(films):
        if not film.size:
            continue
        row, column = divmod(place, _ACROSS)
        box = (0.02 + column * 0.96 / _ACROSS, height * (1 - (row + 1) / rows) + 0.004)
        axes = figure.add_axes((*box, 0.95 / _ACROSS, height / rows * 0.985))
        axes.imshow(film, cmap="gray", vmin=0, vmax=255)
        axes.axis("off")
        if said:
            axes.text(
                0.04, 0.04, said, transform=axes.transAxes, size=8, color=svg.PAPER,
                bbox={"facecolor": svg.SERIES[1], "edgecolor": "none", "pad": 2},
            )  # fmt: skip

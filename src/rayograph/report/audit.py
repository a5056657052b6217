"""The audit for shortcuts on the page and in a terminal: a table, a forest plot and a verdict."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rayograph.report import svg
from rayograph.report.html import markup
from rayograph.report.words import NONE, UNIT, written

Document = Mapping[str, Any]

HEAD = ("What is seen", "AUROC (95 % interval)", "the model's lead", "of the way", "comes close")
NAMES = {
    "metadata": "file metadata alone",
    "thumbnail": "8 × 8 thumbnail",
    "border": "border of the film",
    "outside": "model, middle masked",
    "inside": "model, border masked",
}
CHANCE = 0.5  # AUROC
_ROW = 19.0  # points


def view(found: Document) -> Mapping[str, Any]:
    """What the section shows."""
    return {
        "verdict": verdict(found),
        "close": bool(_close(found)),
        "opening": opening(found),
        "head": HEAD,
        "rows": [*rows(found)],
        "notes": notes(found),
        "forest": markup(_forest(found)),
    }


def doubts(found: Document) -> Sequence[str]:
    """The verdict, where a baseline without anatomy comes close, also for a single label."""
    return [verdict(found)] if _close(found) or _labels(found) else []


def opening(found: Document) -> str:
    """What was fitted and judged on how many films, and the rule."""
    return (
        f"Baselines fitted on {found['fitted_on']:,} training films, judged on {found['films']:,} "
        f"test films of {found['patients']:,} patients. One comes close where its AUROC is above "
        f"0.5 for certain (95{UNIT} interval), and the model's lead may be 0 or the baseline gets "
        f"{found['share']:.0%} of the way from 0.5 to the model's."
    ).replace("80%", f"80{UNIT}")


def rows(found: Document) -> Iterator[list[str]]:
    """The table: the model itself, and each baseline."""
    yield ["model, whole film", _interval(found["auroc"]), "", "", ""]
    for name, title in NAMES.items():
        each = found["baselines"].get(name)
        if each is None:
            yield [title, NONE, NONE, NONE, "not judged"]
            continue
        decided = {True: "yes", False: "no", None: "not known"}[each["close"]]
        told = "" if name == "inside" else decided  # which sees the anatomy: no baseline
        lead = _interval(each["lead"])
        yield [title, _interval(each["auroc"]), lead, _way(each["share"]), told]


def _way(share: float | None) -> str:
    """How far a baseline gets from 0.5 to the model's AUROC."""
    if share is None:
        return NONE
    return f"over 100{UNIT}" if share > 1 else f"{100 * max(share, 0):.0f}{UNIT}"


def notes(found: Document) -> list[str]:
    """What each baseline was given, and what cannot be told from it."""
    columns = found["columns"]
    told = f"Metadata: used {_listed(columns['used'])}"
    told += f"; alike in all training films {_listed(columns['constant'])}"
    told += f"; not known {_listed(columns['unknown'])}."
    frame = f"{100 * found['frame']:.0f}{UNIT}"
    return [
        told,
        "A thumbnail sees the anatomy coarsely, and so a disease that changes a large part of a "
        "lung: it is shown for comparison and counts for no verdict. A border can hold shoulders, "
        "arms and collimation, and the foot of the lungs.",
        f"Masked is a fixed box, all but {frame} at each side, filled with the film's mean gray: "
        "it is not fitted to the lungs, and lung may lie outside it. The model never saw films "
        "like these: a low AUROC does not clear it.",
        *(
            f"{title.capitalize()}, single labels that come close: {', '.join(labels)}."
            for title, labels in _labels(found).items()
        ),
        *_undecided(found),
    ]


def verdict(found: Document) -> str:
    """Whether the labels can be told without anatomy, in a sentence or two."""
    near = _close(found)
    if near:
        own = written("auroc", found["auroc"]["value"])
        told = "; ".join(f"{NAMES[name]} {_interval(each['auroc'])}" for name, each in near.items())
        return (
            "Shortcut possible: with no anatomy to see, or hardly any, AUROC comes close to the "
            f"model's {own}: {told}. The model may have learned this instead of the disease; judge "
            "it on films where the two do not go together."
        )
    if not any(each["close"] is not None for each in found["baselines"].values()):
        return "Whether there is a shortcut cannot be told: AUROC is not defined on these films."
    single = _labels(found)
    if single:
        names = sorted({label for labels in single.values() for label in labels})
        return (
            f"Shortcut possible for single labels: {', '.join(names)} can be told about as well "
            f"with hardly any anatomy to see ({', '.join(single)}). Over all labels no baseline "
            "comes close."
        )
    if found["auroc"]["low"] is not None and found["auroc"]["low"] <= CHANCE:
        return (
            f"The model itself is not better than chance for certain ({_interval(found['auroc'])}):"
            " it has hardly learned anything, and the audit says nothing of a better one."
        )
    coarse = found["baselines"]["thumbnail"]
    also = (
        f" An 8 × 8 thumbnail does ({_interval(coarse['auroc'])}): these labels need little "
        "detail, and whether it sees disease or exposure cannot be told."
    )
    return (
        "No baseline without anatomy comes close to the model. Shortcuts that these cannot see, "
        "such as devices inside the chest, are not ruled out."
    ) + (also if coarse["close"] else "")


def _close(found: Document) -> dict[str, Document]:
    """The baselines without anatomy that come close."""
    baselines = found["baselines"].items()
    return {name: each for name, each in baselines if each["blind"] and each["close"]}


def _labels(found: Document) -> dict[str, list[str]]:
    """Of several labels those that come close, by the title of the baseline."""
    every = {
        NAMES[name]: [label for label, own in each["labels"].items() if own["close"]]
        for name, each in found["baselines"].items()
        if each["blind"]
    }
    return {title: labels for title, labels in every.items() if labels}


def _undecided(found: Document) -> Iterator[str]:
    """Of several labels, what a decision on a single one is worth."""
    border = found["baselines"]["border"]["labels"]
    few = [label for label, own in border.items() if own["close"] is None]
    if border:
        yield (
            f"Single labels are decided without correction for their number ({len(border)}): some "
            "may come close by chance."
        )
    if few:
        yield (
            f"Not decided, with fewer than {found['fewest']} test films that have the label or "
            f"that have it not: {', '.join(few)}."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _interval(own: Document) -> str:
    value, low, high = (
        written("auroc", None if each is None else round(each, 3) + 0.0)  # -0.000 is 0.000
        for each in (own["value"], own["low"], own["high"])
    )
    return value if own["low"] is None else f"{value} ({low} to {high})"


def _forest(found: Document) -> str | None:
    """The model's AUROC with its interval, and each baseline's below it."""
    judged = {"model, whole film": found["auroc"]} | {
        NAMES[name]: found["baselines"][name]["auroc"] for name in NAMES if name in
        found["baselines"]
    }  # fmt: skip
    drawn = {title: own for title, own in judged.items() if own["value"] is not None}
    if len(drawn) < 2:
        return None
    near = {NAMES[name] for name in _close(found)}
    values = np.array([[e["value"], e["low"], e["high"]] for e in drawn.values()], float)
    with svg.style():
        figure, axes = svg.panel(_ROW * len(drawn), 0, left=126)
        for y, (title, (value, low, high)) in enumerate(zip(drawn, values, strict=True)):
            colour = svg.SERIES[1] if title in near else svg.SERIES[0]
            axes.plot([low, high], [y, y], color=colour, lw=1.2, marker="")
            axes.plot([value], [y], "D" if y == 0 else "o", ms=5, color=colour)
        svg.guide(axes.axvline, 0.5, label="chance")
        axes.set_yticks(range(len(drawn)), list(drawn))
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        axes.set_xlim(min(0.45, np.nanmin(values) - 0.02), 1.02)
        axes.set_xlabel("AUROC")
        axes.grid(visible=False, axis="y")
        told = "; ".join(f"{title} {own['value']:.3f}" for title, own in drawn.items())
        return svg.to_svg(figure, "audit-forest", f"AUROC without anatomy: {told}")

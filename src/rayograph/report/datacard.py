"""The data card: what was in each split, who was in it, and what a reader should know of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from rayograph.data.card import DataCard, SplitCard, Unread
from rayograph.report import words
from rayograph.report.view import RunReport
from rayograph.task.estimate import wilson

_COUNTED = {
    "sex": "Sex", "view": "View", "modality": "Modality", "manufacturer": "Made by",
    "format": "Format",
}  # fmt: skip
_VALUES = 6  # of a column, at most
_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}


def section(report: RunReport) -> Mapping[str, Any] | None:
    """What the page shows of the dataset; None where the run has no model yet."""
    data = report.data
    if data is None:
        return None
    if isinstance(data, Unread):
        return {"unread": data.reason, "uri": data.uri, "recipe": _recipe(report)}
    return {
        "unread": "",
        "uri": data.uri,
        "name": data.name,
        "recipe": _recipe(report),
        "head": ["", *(_NAMES[name] for name in data.splits)],
        "rows": list(rows(data)),
        "told": list(told(data)),
        "lacking": words.listed(list(lacking(data))),
    }


def _recipe(report: RunReport) -> str:
    card = report.card
    return f"{card.recipe.words}, {card.transform.words}".replace("`", "") if card else ""


def rows(data: DataCard) -> Iterator[list[str]]:
    """A row a subject, a column a split."""
    splits = list(data.splits.values())
    yield [data.noun.capitalize(), *(f"{split.films:,}" for split in splits)]
    yield ["Patients", *(f"{split.patients:,}" for split in splits)]
    for label in splits[0].labels:
        yield [label, *(_prevalence(split, label) for split in splits)]
    if any(split.census.ages for split in splits):
        yield ["Age, median (range)", *(_age(split) for split in splits)]
    for name, title in _COUNTED.items():
        for value in _common(splits, name):
            yield [f"{title}: {value}", *(_count(split, name, value) for split in splits)]


def _prevalence(split: SplitCard, label: str) -> str:
    counts = split.labels[label]
    share = wilson(counts.present, counts.present + counts.absent)
    if share.value is None or share.low is None or share.high is None:
        return words.NONE
    bounds = f"{100 * share.low:.1f}–{100 * share.high:.1f}"
    return f"{counts.present:,} · {100 * share.value:.1f}{words.UNIT} ({bounds})"


def _age(split: SplitCard) -> str:
    ages = split.census.ages
    return f"{ages.median:g} ({ages.youngest:g}–{ages.oldest:g})" if ages else words.NONE


def _common(splits: list[SplitCard], name: str) -> list[str]:
    """The commonest values of a column over all splits."""
    total: dict[str, int] = {}
    for split in splits:
        found = split.census.columns.get(name)
        for value, count in (found.counts if found else {}).items():
            total[value] = total.get(value, 0) + count
    return sorted(total, key=lambda value: (-total[value], value))[:_VALUES]


def _count(split: SplitCard, name: str, value: str) -> str:
    found = split.census.columns.get(name)
    count = found.counts.get(value, 0) if found else 0
    return f"{count:,} · {100 * count / split.films:.0f}{words.UNIT}"


def told(data: DataCard) -> Iterator[str]:
    """What was found in it: leaks, copies, odd films, what was left out."""
    shared = [each for each in data.shared if each.patients or each.files]
    for each in shared:
        count = f"{each.patients:,} {words.counted(each.patients, 'patients')}"
        same = words.counted(each.files, "identical files")
        files = f" and {each.files:,} {same}" if each.files else ""
        verb = "is" if each.films == 1 else "are"
        noun = words.counted(each.films, data.noun)
        films = f"{each.films:,} {each.second} {noun} {verb} theirs"
        names = f"{_NAMES[each.first]} and {_NAMES[each.second].lower()}"
        yield f"{names} share {count}{files}: {films}."
    if not shared and len(data.splits) > 1:
        yield "No patient and no file is in two splits."
    skipped = ("patient_in_two_splits", "identical_file_in_two_splits", "ignored")
    found = [f.message for f in data.findings if f.kind not in skipped]
    yield from (f"{said[:1].upper()}{said[1:]}." for said in found)
    if not any(f.kind == "near_identical" for f in data.findings) and data.noun == "films":
        yield "No films of two splits were found that look the same."
    for name, split in data.splits.items():
        copies = split.census.copies
        if copies.groups:
            told = f"{copies.samples:,} {data.noun} are copies of one another"
            yield f"{_NAMES[name]}: {told}, in {copies.groups:,} groups."
        for kind, sign in split.census.signs.items():
            if sign.samples:
                share = f"{sign.samples:,} of {sign.known:,} {data.noun}"
                yield f"{_NAMES[name]}: {share} are {_SIGNS[kind]}."
    unused = sum(data.rejected.values())
    reasons = [f"{count:,} × {reason}" for reason, count in data.rejected.items()]
    why = f": {words.listed(reasons, 4)}"
    yield f"{unused:,} originals could not be used{why}." if unused else "No original was refused."
    if data.fold is not None:
        yield f"Packed in {data.folds} folds, of which fold {data.fold} validated."


_SIGNS = {"inverted": "perhaps inverted", "coloured": "coloured", "burnt_in": "with text in them"}


def lacking(data: DataCard) -> Iterator[str]:
    """What the dataset does not know of its films."""
    first = next(iter(data.splits.values())).census
    if data.noun != "films":
        return
    if first.ages is None:
        yield "age"
    for name in ("sex", "view", "manufacturer"):
        found = first.columns.get(name)
        if found is None or not found.counts:
            yield name

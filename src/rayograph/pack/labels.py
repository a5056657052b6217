"""What the labels of a source mean: one spelling a class, and which class is the negative one."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line

MISSING = {
    "", "na", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "null", "none", "missing",
    "unknown", "?", "-", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan",
}  # fmt: skip  # what pandas, R and spreadsheets write where there is nothing
NEGATIVE = {
    "0", "false", "normal", "negative", "healthy", "control", "controls", "no finding",
    "no findings", "nofinding", "nothing found",
}  # fmt: skip
NEGATED = ("non ", "no ", "not ", "without ")
PREFIXES = ("non", "no", "un")  # right before the name of another class
JOINED = re.compile(r"[|;]")


def is_missing(label: str | None) -> bool:
    """Whether a table says that it does not know."""
    return label is None or label.strip().casefold() in MISSING


def plain(label: str) -> str:
    """A label without what people write differently: case, blanks, underscores, hyphens, `.0`."""
    words = " ".join(re.split(r"[\s_\-]+", label.strip())).casefold() if label.strip() else ""
    number = _number(label)
    return words if number is None else f"{number:g}"


def spellings(uri: str, labels: Sequence[str]) -> tuple[dict[str, str], tuple[Finding, ...]]:
    """The class of each label as it is written, the commonest spelling; and what was odd.

    Raises `UserError` where a label is several findings joined.
    """
    counts = Counter(labels)
    joined = next((label for label in counts if JOINED.search(label)), None)
    if joined is not None:
        raise UserError(
            f"{uri}: the label {one_line(joined)!r} is several findings of one film: "
            "pack.task=multilabel with pack.label_separator; of pack.task=multiclass a film has "
            "exactly one"
        )
    measure = next((n for n in counts if (_number(n) or 0) % 1), None)
    if measure is not None:
        raise UserError(
            f"{uri}: the label {one_line(measure)} is a measurement, not a class; cut it into "
            "classes, or name another column"
        )
    groups: dict[str, list[str]] = {}
    for label, _ in counts.most_common():
        groups.setdefault(plain(label), []).append(label)
    found = {label: group[0] for group in groups.values() for label in group}
    return found, tuple(_odd(groups))


def _odd(groups: dict[str, list[str]]) -> Iterator[Finding]:
    for group in groups.values():
        if len(group) > 1:
            spelled = ", ".join(map(repr, group))
            message = f"{spelled} are one class, {group[0]}: they differ in spelling only"
            yield Finding(kind="label_spelling", message=one_line(message))
    if (
        "-1" in groups
        and len(groups) > 2
        and all(_number(g[0]) is not None for g in groups.values())
    ):
        message = (
            f"the label {groups['-1'][0]} is a class of its own; CheXpert means uncertain by it"
        )
        yield Finding(kind="label_uncertain", message=message)


def by_name(names: Iterable[str]) -> list[str]:
    """Different classes by name, numbers by value."""
    return sorted(set(names), key=lambda name: (_number(name) is None, _number(name) or 0, name))


def ordered(uri: str, names: Sequence[str], negative: str | None) -> tuple[str, ...]:
    """The classes, the negative one first, then by name, numbers by value.

    Raises `UserError` where there is only one, or where no name, or several, say `nothing found`.
    """
    every = by_name(names)
    shown = one_line(", ".join(every))
    if len(every) < 2:
        raise UserError(
            f"{uri}: only the class {shown}; a classifier needs two or more; films to judge one by "
            "may have one: pack.split=test"
        )
    if negative is not None and plain(negative) not in map(plain, every):
        raise UserError(f"pack.negative={negative}: no such class; there are {shown}")
    candidates = [name for name in every if plain(name) == plain(negative or "")]
    candidates = candidates or _negative(every)
    if len(candidates) != 1:
        told = "several classes sound" if candidates else "no class sounds"
        raise UserError(
            f"{uri}: {told} like `nothing found`: {one_line(', '.join(candidates or every))}; "
            "say which one is: pack.negative=CLASS"
        )
    return (candidates[0], *(name for name in every if name != candidates[0]))


def _negative(names: Sequence[str]) -> list[str]:
    """Those whose names say so: normal, 0, non-X, No_X, and unX beside X."""
    known = {plain(name) for name in names}
    return [
        name
        for name in names
        if (word := plain(name)) in (*NEGATIVE, *PREFIXES)
        or word.startswith(NEGATED)
        or any(word.startswith(p) and word.removeprefix(p) in known for p in PREFIXES)
    ]


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None

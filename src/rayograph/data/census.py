"""What an index says of its samples, counted: views, sexes, ages, sizes, copies, odd films.

Columns go by their names, whatever their case; those that an index lacks are left out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COUNTED = ("view", "sex", "modality", "manufacturer", "format")
SIGNS = {  # of odd films, and what is said of such
    "inverted": "look inverted (white background)",
    "coloured": "have colour in them",
    "burnt_in": "have text burnt in",
}
COLOURED = 0.001  # share of coloured pixels from which a film is said to have colour
NAMED = 20  # films that are named; the counts are of all
YES = ("yes", "true", "1", "1.0", "t", "y")
OLDEST = 120  # years; more is a mistake, or an age that was hidden
DECADE = 10  # years of a bar


@dataclass(frozen=True)
class Counted:
    """How many samples have each value of a column, the commonest first; `unknown` have none."""

    counts: Mapping[str, int]
    unknown: int


@dataclass(frozen=True)
class Ages:
    """Of the samples whose age is known, in years; `decades` counts those from 0, 10, 20, …"""

    known: int
    youngest: float
    median: float
    oldest: float
    decades: Sequence[int]


@dataclass(frozen=True)
class Copies:
    """Originals that are the same file to the byte: how many groups, and samples in them.

    `across` of the groups are in more than one part; `named` are samples of those, or of any.
    """

    groups: int
    samples: int
    across: int
    named: Sequence[str]


@dataclass(frozen=True)
class Signed:
    """Samples with a sign of being odd: how many, the first ones, and of how many it is known."""

    samples: int
    named: Sequence[str]
    known: int


@dataclass(frozen=True)
class Census:
    """What was counted of an index; empty or None where it has no such column."""

    columns: Mapping[str, Counted]
    sizes: Counted | None
    ages: Ages | None
    copies: Copies
    signs: Mapping[str, Signed]


def take(table: Any) -> Census:
    """The census of an index, a `pyarrow.Table`."""
    names = {name.lower(): i for i, name in enumerate(table.column_names)}
    known = {
        name: table.column(names[name]).to_pylist()
        for name in (*COUNTED, *SIGNS, "width", "height", "age")
        if name in names
    }
    ids = table.column("sample_id").to_pylist()
    return Census(
        columns={name: counted(known[name]) for name in COUNTED if name in known},
        sizes=_sizes(known),
        ages=ages(known.get("age", [])),
        copies=_copies(ids, table),
        signs={name: _signed(ids, known[name]) for name in SIGNS if name in known},
    )


def counted(values: Iterable[Any]) -> Counted:
    """How often each value occurs, as text; None and empty text are not known."""
    found = Counter("" if value is None else str(value).strip() for value in values)
    unknown = found.pop("", 0)
    return Counted(dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))), unknown)


def ages(values: Iterable[Any]) -> Ages | None:
    """Of ages in years; None where none is a number that can be one."""
    numbers = [value for value in values if isinstance(value, int | float)]
    found = [value for value in numbers if 0 <= value <= OLDEST]
    if not found:
        return None
    decades = np.bincount([int(age // DECADE) for age in found])
    youngest, median, oldest = (float(np.percentile(found, share)) for share in (0, 50, 100))
    return Ages(len(found), youngest, median, oldest, decades.tolist())


def _sizes(known: Mapping[str, list[Any]]) -> Counted | None:
    if not {"width", "height"} <= set(known):
        return None
    both = zip(known["width"], known["height"], strict=True)
    return counted(None if None in pair else f"{pair[0]}×{pair[1]}" for pair in both)


def _copies(ids: Sequence[str], table: Any) -> Copies:
    parts = table.column("part").to_pylist()
    groups: dict[str, list[int]] = {}
    for row, digest in enumerate(table.column("sha256").to_pylist()):
        if digest:  # rows of a table have none
            groups.setdefault(digest, []).append(row)
    several = [rows for rows in groups.values() if len(rows) > 1]
    across = [rows for rows in several if len({parts[row] for row in rows}) > 1]
    named = [ids[row] for rows in across or several for row in rows][:NAMED]
    return Copies(len(several), sum(map(len, several)), len(across), named)


def _signed(ids: Sequence[str], values: Sequence[Any]) -> Signed:
    named = [name for name, value in zip(ids, values, strict=True) if flagged(value)]
    known = sum(value is not None for value in values)
    return Signed(len(named), named[:NAMED], known)


def flagged(value: Any) -> bool:
    """Whether a value of a sign's column says yes: true, a word, or a share that is not tiny."""
    if isinstance(value, str):
        return value.strip().lower() in YES
    return isinstance(value, int | float) and value > COLOURED


def kinds(reasons: Iterable[str]) -> Mapping[str, int]:
    """How many originals were rejected for each kind of reason, numbers and names taken out."""
    found = Counter(_kind(reason) for reason in reasons)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _kind(reason: str) -> str:
    head, colon, names = reason.partition(": ")
    if head.startswith("no such file"):
        return head
    words = [_word(word) for word in f"{head}{colon}{names}".split()]
    return re.sub(r"…( …)+", "…", " ".join(words))


def _word(word: str) -> str:
    """A word of a reason; … for a path or a file's name, and for numbers."""
    bare = word.strip("'\"`,;:()")
    if re.search(r"\w/|/\w|\\\w|\w\.[A-Za-z]{2,5}$", bare) or (bare != word and word[0] in "'\"`"):
        return "…" + word[len(word.rstrip(",;:")) :]
    return re.sub(r"\d[\d.,]*(?=\b|\D|$)", "…", word)

"""What every kind of source gives: items, before any of them is read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from rayograph import storage
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.decode import SUFFIXES

PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
NEGATIVE = ("normal", "negative", "healthy", "no finding", "no_finding", "none")


@dataclass(frozen=True)
class SourceItem:
    """One original that a source names."""

    sample_id: str
    uri: str
    label: str
    patient_id: str
    split: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Every original that a source names, its classes (the negative one first), what was odd."""

    uri: str
    items: tuple[SourceItem, ...]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def fixes_split(self) -> bool:
        """Whether the source says what is for training and what for testing."""
        return self.items[0].split is not None


def files_below(uri: str) -> tuple[list[str], dict[str, int]]:
    """The films below a folder, by name, and how many other files by suffix.

    A file is a film by its suffix; hidden files are none.
    """
    films, ignored = [], Counter[str]()
    for entry in storage.listing(uri):
        path = PurePosixPath(entry.uri.removeprefix(storage.join(uri, "")))
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if hidden or path.suffix.lower() not in SUFFIXES:
            ignored[path.suffix.lower() or path.name] += 1
        else:
            films.append(str(path))
    if not films:
        raise UserError(f"{uri}: no film found; films end in {', '.join(SUFFIXES)}")
    return films, dict(ignored)


def patients_unknown(message: str) -> tuple[Finding, ...]:
    """The finding that each film counts as its own patient."""
    return (Finding(kind="patients_unknown", message=message),)


def classes_of(uri: str, items: Sequence[SourceItem], negative: str | None) -> tuple[str, ...]:
    """The classes by name, the negative one first; `UserError` where there is only one."""
    names = sorted({item.label for item in items})
    if len(names) < 2:
        raise UserError(
            f"{uri}: only the class {one_line(names[0])}; a classifier needs two or more"
        )
    if negative is not None and negative not in names:
        raise UserError(f"pack.negative={negative}: no such class; there are {one_line(names)}")
    first = negative or next((n for n in names if n.lower() in NEGATIVE), names[0])
    return (first, *(name for name in names if name != first))

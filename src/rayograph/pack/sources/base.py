"""What every kind of source gives: items, before any of them is read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError
from rayograph.pack import labels
from rayograph.pack.decode import SUFFIXES

PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


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


def files_below(uri: str, exclude: Sequence[str]) -> tuple[dict[str, str], dict[str, int]]:
    """The films below a folder, name → URI, and how many other files by suffix.

    A file is a film by its suffix; hidden files are none, nor is what a pattern excludes. Keys of
    an object store are taken as they are, whatever slashes they have.
    """
    films, ignored = {}, Counter[str]()
    for entry in storage.listing(uri):
        name = entry.uri.removeprefix(storage.join(uri, ""))
        path = PurePosixPath(name)
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if any(fnmatch(name, pattern) for pattern in exclude):
            ignored["excluded"] += 1
        elif hidden or path.suffix.lower() not in SUFFIXES:
            ignored[path.suffix.lower() or path.name] += 1
        else:
            films[name] = entry.uri
    if not films:
        raise UserError(f"{uri}: no film found; films end in {', '.join(SUFFIXES)}")
    return films, dict(ignored)


def patients_unknown(message: str) -> tuple[Finding, ...]:
    """The finding that each film counts as its own patient."""
    return (Finding(kind="patients_unknown", message=message),)


def labelled(
    uri: str, items: Sequence[SourceItem], options: PackOptions
) -> tuple[tuple[SourceItem, ...], tuple[str, ...], tuple[Finding, ...]]:
    """Items with their class's one spelling, the classes (negative first), and what was odd."""
    spelling, findings = labels.spellings(uri, [item.label for item in items])
    found = tuple(replace(item, label=spelling[item.label]) for item in items)
    if options.split == "test":
        return found, tuple(labels.by_name(spelling.values())), findings
    return found, labels.ordered(uri, list(spelling.values()), options.negative), findings

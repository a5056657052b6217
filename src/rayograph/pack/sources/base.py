"""What every kind of source gives: items, before any of them is read."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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


@dataclass(frozen=True)
class Found:
    """The `films` below a folder, name → URI; other files by suffix; and what was odd."""

    films: Mapping[str, str]
    ignored: Mapping[str, int]
    findings: tuple[Finding, ...]


def files_below(uri: str, exclude: Sequence[str]) -> Found:
    """What lies below a folder; `UserError` where there is no film.

    A file is a film by its suffix; hidden files are none, nor is what a pattern excludes. Keys of
    an object store are taken as they are, whatever slashes they have.
    """
    films, ignored = dict[str, str](), Counter[str]()
    base = storage.readable(storage.join(uri, ""))[1]
    for entry in storage.listing(uri):
        place, name = storage.readable(entry.uri)
        name = name.removeprefix(base)
        suffix, hidden = PurePosixPath(name).suffix.lower(), _hidden(name)
        if any(fnmatch(name, pattern) for pattern in exclude):
            ignored["excluded"] += 1
        elif hidden or suffix not in SUFFIXES:
            ignored["hidden" if suffix in SUFFIXES else suffix or PurePosixPath(name).name] += 1
        else:
            films[name] = place
    findings = tuple(_links(uri, base))
    if not films:
        told = "".join(f"; {finding.message}" for finding in findings)
        raise UserError(f"{uri}: no film found; films end in {', '.join(SUFFIXES)}{told}")
    return Found(films, dict(ignored), findings)


def parts_of(name: str) -> list[str]:
    """The folders of a film's name, and its own: keys may have empty ones, and `.`, between."""
    return [part for part in name.split("/") if part not in ("", ".")]


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in parts_of(name))


def _links(uri: str, base: str) -> Iterator[Finding]:
    """Folders of films that are elsewhere: whoever links them may think that they are packed."""
    links = [storage.readable(link)[1].removeprefix(base) for link in storage.linked_folders(uri)]
    if links:
        message = f"{len(links)} linked folders are not followed; the first is {links[0]}"
        yield Finding(kind="links", message=message, films=tuple(links[:20]))


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

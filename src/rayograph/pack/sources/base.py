"""What every kind of source gives: items, before any of them is read."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data.manifest import Finding, TaskName
from rayograph.data.recipe import ImageRecipe, Recipe
from rayograph.errors import UserError
from rayograph.pack.decode import SUFFIXES

PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
DICOM = (".dcm", ".dicom")
BARE = re.compile(r"(?:^|/)(?=[^/]*\d)[^/.]+(?:\.\d+)*$")  # no suffix, or one of a UID's numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """One original, by its name; `data` are its bytes where nothing has to be read."""

    sample_id: str
    uri: str
    data: bytes | None = field(default=None, repr=False)

    def read(self) -> bytes:
        """Its bytes."""
        return storage.read(self.uri) if self.data is None else self.data


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceItem(Original):
    """One original that a source names; `labels` [k] are 1, 0, -1 (uncertain), -2 (missing)."""

    labels: tuple[int, ...]
    patient_id: str | None  # None: whom the film's own header names, else the film itself
    split: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Awaiting:
    """Rows of a table that name films by what is in their headers, which are read later.

    `rows` has what a row says, by the value of `keyword`, a DICOM identifier; one row may be of
    several films, such as those of one study.
    """

    keyword: str
    rows: Mapping[str, SourceItem] = field(repr=False)


@dataclass(frozen=True)
class Source:
    """Every original that a source names; its classes (the negative one first) or labels."""

    uri: str
    items: tuple[SourceItem, ...]
    task: TaskName
    classes: tuple[str, ...]
    recipe: Recipe
    findings: tuple[Finding, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    awaiting: Awaiting | None = None  # the items then have no labels yet
    options: PackOptions = field(default_factory=PackOptions)  # with those of its layout

    @property
    def fixes_split(self) -> bool:
        """Whether the source says what is for training and what for testing."""
        rows = self.awaiting.rows.values() if self.awaiting else ()
        return any(item.split is not None for item in (self.items[0], *islice(rows, 1)))

    @property
    def labelled(self) -> tuple[SourceItem, ...]:
        """What has labels: the items, or the rows that wait for what films' headers say."""
        return tuple(self.awaiting.rows.values()) if self.awaiting else self.items


@dataclass(frozen=True)
class Found:
    """The `films` below a folder, name → URI; other files by suffix; and what was odd."""

    films: Mapping[str, str]
    ignored: Mapping[str, int]
    findings: tuple[Finding, ...]


def files_below(uri: str, exclude: Sequence[str], bare: bool = False) -> Found:
    """What lies below a folder; `UserError` where there is no film.

    A file is a film by its suffix; with `bare`, or where no file has one of these, also without any
    if its name has a digit, as files of archives have (`IM000001`, `1.2.840.10008.1`). Hidden files
    are none, nor is what a pattern excludes. Keys of an object store are taken as they are,
    whatever slashes they have.
    """
    films, without, ignored = dict[str, str](), dict[str, str](), Counter[str]()
    base = storage.readable(storage.join(uri, ""))[1]
    for entry in storage.listing(uri):
        place, name = storage.readable(entry.uri)
        name = name.removeprefix(base)
        suffix, hidden = PurePosixPath(name).suffix.lower(), _hidden(name)
        if any(fnmatch(name, pattern) for pattern in exclude):
            ignored["excluded"] += 1
        elif not hidden and BARE.search(name):
            without[name] = place
        elif hidden or suffix not in SUFFIXES:
            ignored["hidden" if suffix in SUFFIXES else suffix or PurePosixPath(name).name] += 1
        else:
            films[name] = place
    if bare or not films:
        films = dict(sorted((films | without).items()))
    else:
        ignored.update(PurePosixPath(name).suffix or "no suffix" for name in without)
    findings = tuple(_links(uri, base))
    if not films:
        told = "".join(f"; {finding.message}" for finding in findings)
        raise UserError(f"{uri}: no film found; films end in {', '.join(SUFFIXES)}{told}")
    return Found(films, dict(ignored), findings)


def parts_of(name: str) -> list[str]:
    """The folders of a film's name, and its own: keys may have empty ones, and `.`, between."""
    return [part for part in name.split("/") if part not in ("", ".")]


def is_dicom(name: str) -> bool:
    """Whether a film may be DICOM, by its suffix, or since it has none of a picture."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix in DICOM or suffix not in SUFFIXES


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in parts_of(name))


def _links(uri: str, base: str) -> Iterator[Finding]:
    """Folders of films that are elsewhere: whoever links them may think that they are packed."""
    links = [storage.readable(link)[1].removeprefix(base) for link in storage.linked_folders(uri)]
    if links:
        message = f"{len(links)} linked folders are not followed; the first is {links[0]}"
        yield Finding(kind="links", message=message, films=tuple(links[:20]))


def film_recipe(options: PackOptions) -> ImageRecipe:
    """How a film is packed."""
    return ImageRecipe(
        size=options.size, resize=options.resize, range=options.range or "bits in use",
        window=options.window,
    )  # fmt: skip


def patients_unknown(message: str) -> tuple[Finding, ...]:
    """The finding that each sample counts as its own patient."""
    return (Finding(kind="patients_unknown", message=message),)

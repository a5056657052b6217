"""What there is to pack: films listed from class folders or from a table, before any is read."""

import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data.dataset import Finding
from rayograph.data.film import SUFFIXES
from rayograph.errors import UserError, one_line

PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SHOWN = 300  # characters of what a table has
NEGATIVE = ("normal", "negative", "healthy", "no finding", "no_finding", "none")


@dataclass(frozen=True)
class Listed:
    """One film that the source names."""

    sample_id: str
    uri: str
    label: str
    patient_id: str
    split: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Every film that the source names, its classes (the negative one first), and what was odd."""

    uri: str
    films: tuple[Listed, ...]
    classes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def fixes_split(self) -> bool:
        """Whether the source says which films are for training and which for testing."""
        return self.films[0].split is not None


def open_source(uri: str, options: PackOptions) -> Source:
    """List a folder of class folders (optionally under train/ val/ test/), or a table.

    Raises `UserError` where no film is found, a column is missing, or a label is empty.
    """
    uri = storage.absolute(uri)
    source = _table(uri, options) if _is_table(uri) else _folder(uri, options)
    some = {film.split is None for film in source.films}
    if len(some) > 1:
        raise UserError(f"{uri}: some films have a split and some have none; give all or none")
    return source


def films_below(uri: str) -> tuple[list[str], dict[str, int]]:
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


def unlabelled(uri: str, options: PackOptions) -> list[tuple[str, str]]:
    """Films to predict, as pairs of name and URI: one, all below a folder, or a table's paths."""
    uri = storage.absolute(uri)
    if uri.lower().endswith(SUFFIXES) and storage.exists(uri):
        return [(PurePosixPath(uri).name, uri)]
    if not _is_table(uri):
        return [(name, storage.join(uri, name)) for name in films_below(uri)[0]]
    paths = _read_table(uri, [options.path_column]).column(options.path_column).to_pylist()
    if not all(paths):
        row = next(i for i, path in enumerate(paths, 1) if not path)
        raise UserError(f"{uri}: row {row} has no {options.path_column}")
    return [(path, _place(uri, path)) for path in paths]


def _is_table(uri: str) -> bool:
    return PurePosixPath(uri).suffix.lower() in (".csv", ".parquet")


def _place(table: str, path: str) -> str:
    """Where a film of a table lies: relative to the table, unless it says otherwise."""
    if path.startswith("/") or "://" in path:
        return path
    return storage.below(storage.parent(table), path)


def _folder(uri: str, options: PackOptions) -> Source:
    names, ignored = films_below(uri)
    paths = [PurePosixPath(name) for name in names]
    strays = [path for path in paths if path.parts[0].lower() not in PARTS]
    has_parts = not strays
    if 0 < len(strays) < len(paths):
        raise UserError(
            f"{uri}: {strays[0]} is in none of train/, val/, test/ that other films are in; "
            "move or remove it"
        )
    depth = 1 if has_parts else 0
    homeless = [str(path) for path in paths if len(path.parts) < depth + 2]
    if homeless:
        raise UserError(
            f"{uri}: {homeless[0]} is in no class folder; put films in CLASS/ or PART/CLASS/"
        )
    patients, findings = _patients(uri, names, options)
    films = tuple(
        Listed(
            sample_id=name,
            uri=storage.join(uri, name),
            label=path.parts[depth],
            patient_id=patient,
            split=PARTS[path.parts[0].lower()] if has_parts else None,
        )
        for name, path, patient in zip(names, paths, patients, strict=True)
    )
    return Source(uri, films, _classes(uri, films, options), findings, ignored)


def _patients(
    uri: str, names: list[str], options: PackOptions
) -> tuple[list[str], tuple[Finding, ...]]:
    if options.patient_pattern is None:
        message = (
            "class folders carry no patient ids, so each film counts as its own patient; "
            "pack.patient_pattern can read them off the paths"
        )
        return names, (Finding(kind="patients_unknown", message=message),)
    try:
        pattern = re.compile(options.patient_pattern)
    except re.error as error:
        raise UserError(f"pack.patient_pattern={options.patient_pattern}: {error}") from None
    if pattern.groups < 1:
        raise UserError(f"pack.patient_pattern={options.patient_pattern}: needs a (group)")
    found = [pattern.search(name) for name in names]
    for name, match in zip(names, found, strict=True):
        if match is None or not match[1]:
            raise UserError(f"{uri}: pack.patient_pattern finds no patient in {name}")
    return [match[1] for match in found if match], ()


def _table(uri: str, options: PackOptions) -> Source:
    if options.patient_column is None:
        raise UserError(
            f"{uri}: a table names its patients: pack.patient_column=COLUMN, or "
            "pack.patient_column=none where each film is its own patient"
        )
    wanted = [options.path_column, options.label_column]
    if options.patient_column != "none":
        wanted.append(options.patient_column)
    table = _read_table(uri, wanted, options.split_column)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    paths, labels = columns[options.path_column], columns[options.label_column]
    splits = columns.get(options.split_column)
    findings: tuple[Finding, ...] = ()
    if options.patient_column == "none":
        patients = paths
        message = "pack.patient_column=none: each film counts as its own patient"
        findings = (Finding(kind="patients_unknown", message=message),)
    else:
        patients = columns[options.patient_column]
    _check_rows(uri, options, paths, labels, patients)
    names = [name for name in columns if name not in (*wanted, options.split_column)]
    films = tuple(
        Listed(
            sample_id=path,
            uri=_place(uri, path),
            label=label,
            patient_id=patient,
            split=_part(uri, splits[i]) if splits else None,
            metadata={name: columns[name][i] for name in names},
        )
        for i, (path, label, patient) in enumerate(zip(paths, labels, patients, strict=True))
    )
    return Source(uri, films, _classes(uri, films, options), findings)


def _read_table(uri: str, wanted: list[str], *optional: str) -> Any:
    """A table whose `wanted` columns, and the optional ones that it has, are text."""
    text = [*wanted, *optional]
    data = io.BytesIO(storage.read(uri))
    try:
        if uri.lower().endswith(".csv"):
            convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()))
            table = pyarrow.csv.read_csv(data, convert_options=convert)
        else:
            table = pq.read_table(data)
        names = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{uri}: not a readable table: {one_line(error)}") from None
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{uri}: the column '{twice[0][:SHOWN]}' stands twice; keep one")
    for name in wanted:
        if name not in names:
            raise UserError(f"{uri}: no column {name}; it has {', '.join(names)[:SHOWN]}")
    if not table.num_rows:
        raise UserError(f"{uri}: no film found; the table has no rows")
    try:
        for name in set(text) & set(names):
            column = pc.cast(table.column(name), pa.string())
            table = table.set_column(names.index(name), name, column)
    except pa.ArrowException as error:
        raise UserError(f"{uri}: column {name} is not text: {error}") from None
    return table


def _check_rows(
    uri: str, options: PackOptions, paths: list[Any], labels: list[Any], patients: list[Any]
) -> None:
    for column, values in (
        (options.path_column, paths),
        (options.label_column, labels),
        (options.patient_column, patients),
    ):
        empty = [i for i, value in enumerate(values) if not value]
        if empty:
            raise UserError(
                f"{uri}: {len(empty)} rows have no {column}, the first is row {empty[0] + 1}; "
                "fill or remove them"
            )
    path, count = Counter(paths).most_common(1)[0]
    if count > 1:
        raise UserError(f"{uri}: {path[:SHOWN]} stands in {count} rows; a film has one")


def _part(uri: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    part = PARTS.get(str(value).strip().lower())
    if part is None:
        raise UserError(f"{uri}: unknown split {str(value)[:SHOWN]!r}; use train, val or test")
    return part


def _classes(uri: str, films: tuple[Listed, ...], options: PackOptions) -> tuple[str, ...]:
    names = sorted({film.label for film in films})
    if len(names) < 2:
        raise UserError(f"{uri}: only the class {names[0][:SHOWN]}; a classifier needs two or more")
    if options.negative is not None and options.negative not in names:
        raise UserError(
            f"pack.negative={options.negative}: no such class; there are {str(names)[:SHOWN]}"
        )
    first = options.negative or next((n for n in names if n.lower() in NEGATIVE), names[0])
    return (first, *(name for name in names if name != first))

"""A CSV or Parquet table with a row a film."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack import labels
from rayograph.pack.sources.base import PARTS, Source, SourceItem, labelled, patients_unknown
from rayograph.pack.sources.reading import read_table


def open_table(uri: str, options: PackOptions) -> Source:
    """List the films of a table; columns that no option names are kept as metadata."""
    patient = options.patient_column
    if patient is None:
        raise UserError(
            f"{uri}: a table names its patients: pack.patient_column=COLUMN, or "
            "pack.patient_column=none if each film is its own patient"
        )
    wanted = [options.path_column, options.label_column]
    if patient != "none":
        wanted.append(patient)
    table = read_table(uri, wanted, [options.split_column])
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    findings: tuple[Finding, ...] = ()
    if patient == "none":
        findings = patients_unknown("pack.patient_column=none: each film is its own patient")
    named = {name: columns[name] for name in wanted}
    _check_rows(uri, named, options.path_column, options.label_column)
    patients = columns[options.path_column if patient == "none" else patient]
    splits = columns.get(options.split_column) if options.split == "source" else None
    splits = splits or [None] * table.num_rows
    metadata = [name for name in columns if name not in (*wanted, options.split_column)]
    items = tuple(
        SourceItem(
            sample_id=path,
            uri=_place(uri, path, options.root),
            label=label,
            patient_id=patients[i],
            split=_part(uri, splits[i]),
            metadata={name: columns[name][i] for name in metadata},
        )
        for i, (path, label) in enumerate(
            zip(columns[options.path_column], columns[options.label_column], strict=True)
        )
    )
    items, classes, odd = labelled(uri, items, options)
    return Source(uri, items, classes, findings + odd)


def paths_of(uri: str, options: SourceOptions) -> list[tuple[str, str]]:
    """Name and URI of every film of a table, without labels."""
    column = options.path_column
    paths = read_table(uri, [column], []).column(column).to_pylist()
    _check_rows(uri, {column: paths}, column)
    return [(path, _place(uri, path, options.root)) for path in paths]


def _place(table: str, path: str, root: str | None) -> str:
    """Where a film of a table is: in `root`, else beside the table, unless it says otherwise."""
    if path.startswith("/") or storage.like_uri(path):
        return storage.absolute(path)
    windows = "\\" in path and "/" not in path
    folder = storage.absolute(root) if root else storage.parent(table)
    return storage.below(folder, path.replace("\\", "/") if windows else path)


def _check_rows(
    uri: str,
    columns: dict[str, Sequence[Any]],
    path_column: str,
    label_column: str | None = None,
) -> None:
    """No wanted value is empty, and no film is named twice."""
    for name, values in columns.items():
        unknown = labels.is_missing if name == label_column else lambda value: not value
        empty = [i for i, value in enumerate(values) if unknown(value)]
        if empty:
            raise UserError(
                f"{uri}: {len(empty)} rows have no {name}, the first is row {empty[0] + 1}; "
                "fill or remove them"
            )
    path, count = Counter(columns[path_column]).most_common(1)[0]
    if count > 1:
        raise UserError(f"{uri}: {one_line(path)} appears in {count} rows; a film has one")


def _part(uri: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    part = PARTS.get(str(value).strip().lower())
    if part is None:
        raise UserError(f"{uri}: unknown split {one_line(value)!r}; use train, val or test")
    return part

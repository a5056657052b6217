"""A CSV or Parquet table with a row a film."""

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack import labels
from rayograph.pack.sources.base import PARTS, Source, SourceItem, labelled, patients_unknown


def is_table(uri: str) -> bool:
    """Whether a place is a table, by its suffix."""
    return PurePosixPath(uri).suffix.lower() in (".csv", ".parquet")


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
    table = _read(uri, wanted, options.split_column)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    findings: tuple[Finding, ...] = ()
    if patient == "none":
        findings = patients_unknown("pack.patient_column=none: each film is its own patient")
    named = {name: columns[name] for name in wanted}
    _check_rows(uri, named, options.path_column, options.label_column)
    patients = columns[options.path_column if patient == "none" else patient]
    splits = columns.get(options.split_column) or [None] * table.num_rows
    metadata = [name for name in columns if name not in (*wanted, options.split_column)]
    items = tuple(
        SourceItem(
            sample_id=path,
            uri=_place(uri, path),
            label=label,
            patient_id=patients[i],
            split=_part(uri, splits[i]),
            metadata={name: columns[name][i] for name in metadata},
        )
        for i, (path, label) in enumerate(
            zip(columns[options.path_column], columns[options.label_column], strict=True)
        )
    )
    items, classes, odd = labelled(uri, items, options.negative)
    return Source(uri, items, classes, findings + odd)


def paths_of(uri: str, options: SourceOptions) -> list[tuple[str, str]]:
    """Name and URI of every film of a table, without labels."""
    column = options.path_column
    paths = _read(uri, [column]).column(column).to_pylist()
    _check_rows(uri, {column: paths}, column)
    return [(path, _place(uri, path)) for path in paths]


def _place(table: str, path: str) -> str:
    """Where a film of a table lies: relative to the table, unless it says otherwise."""
    if path.startswith("/") or "://" in path:
        return path
    return storage.below(storage.parent(table), path)


def _read(uri: str, wanted: list[str], *optional: str) -> Any:
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
        raise UserError(f"{uri}: the column '{one_line(twice[0])}' appears twice; keep one")
    for name in wanted:
        if name not in names:
            raise UserError(f"{uri}: no column {name}; it has {one_line(', '.join(names))}")
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

"""A table with a row a sample: a film that it names, or a record that the row is."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Finding
from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.errors import UserError, one_line
from rayograph.pack.labelling import labelling
from rayograph.pack.sources import records
from rayograph.pack.sources.base import (
    PARTS,
    Original,
    Source,
    SourceItem,
    film_recipe,
    patients_unknown,
)
from rayograph.pack.sources.reading import read_table, texts, typed

Columns = dict[str, Sequence[Any]]


def open_films(uri: str, options: PackOptions) -> Source:
    """List the films of a table; columns that no option names are kept as metadata."""
    if options.patient_column is None:
        raise UserError(
            f"{uri}: a table names its patients: pack.patient_column=COLUMN, or "
            "pack.patient_column=none if each film is its own patient"
        )
    labels = list(options.label_columns) or [options.label_column or "label"]
    table = read_table(uri, [options.path_column, *labels])
    originals = _films(uri, texts(uri, table, options.path_column), options)
    recipe = film_recipe(options)
    return _source(uri, table, originals, labels, [options.path_column], recipe, (), options)


def open_records(uri: str, options: PackOptions) -> Source:
    """Read the records of a table; what is neither label, id, patient nor split is a feature."""
    table = read_table(uri, [])
    records.check_columns(uri, "pack.exclude", options.exclude, table.column_names)
    table = table.drop_columns(list(options.exclude))
    apart = {options.patient_column, options.split_column, options.id_column}
    names = [name for name in table.column_names if name not in apart]
    if not names:
        raise UserError(f"{uri}: no column is left for the label")
    labels = records.label_columns(uri, names, options)
    features = {name: texts(uri, table, name) for name in names if name not in labels}
    findings: tuple[Finding, ...] = ()
    recipe = _known(options.like)
    if recipe is None:
        recipe, findings = records.recipe_of(uri, features, options)
    features = {each.name: texts(uri, table, each.name) for each in recipe.columns}
    findings += tuple(records.leaks(features, {n: texts(uri, table, n) for n in labels}))
    originals = records.originals(uri, features, records.ids(uri, table, options))
    return _source(uri, table, originals, labels, [], recipe, findings, options)


def _known(place: str | None) -> TableRecipe | None:
    """The recipe of a dataset of records, where one is named; `UserError` of another kind."""
    if place is None:
        return None
    recipe = Dataset.open(place).manifest.recipe
    if not isinstance(recipe, TableRecipe):
        raise UserError(f"pack.like={place}: not a dataset of records")
    return recipe


def _source(
    uri: str,
    table: Any,
    originals: Sequence[Original],
    labels: list[str],
    paths: list[str],
    recipe: Recipe,
    findings: tuple[Finding, ...],
    options: PackOptions,
) -> Source:
    """What a table says of originals: labels, patients, splits, and the rest as metadata."""
    patients, unknown = _patients(uri, table, originals, options)
    said = labelling(uri, {name: texts(uri, table, name) for name in labels}, options)
    splits: Sequence[str | None] = [None] * len(originals)
    if options.split_column in table.column_names and options.split == "source":
        splits = [_part(uri, text) for text in texts(uri, table, options.split_column)]
    apart = {*paths, *labels, options.patient_column, options.split_column}
    kept = {n: typed(table.column(n)) for n in table.column_names if n not in apart}
    columns = {n: c.to_pylist() for n, c in kept.items() if not pa.types.is_nested(c.type)}
    items = tuple(
        SourceItem(
            sample_id=original.sample_id,
            uri=original.uri,
            data=original.data,
            labels=said.labels[i],
            patient_id=patients[i],
            split=splits[i],
            metadata={name: values[i] for name, values in columns.items()},
        )
        for i, original in enumerate(originals)
    )
    findings = (*findings, *unknown, *said.findings)
    return Source(uri, items, options.task, said.classes, recipe, findings)


def films_of(uri: str, options: SourceOptions) -> list[Original]:
    """Every film of a table, without labels."""
    table = read_table(uri, [options.path_column])
    return _films(uri, texts(uri, table, options.path_column), options)


def _films(uri: str, paths: Sequence[str], options: SourceOptions) -> list[Original]:
    _check(uri, options.path_column, paths)
    path, count = Counter(paths).most_common(1)[0]
    if count > 1:
        raise UserError(f"{uri}: {one_line(path)} appears in {count} rows; a film has one")
    return [Original(sample_id=path, uri=_place(uri, path, options.root)) for path in paths]


def _place(table: str, path: str, root: str | None) -> str:
    """Where a film of a table is: in `root`, else beside the table, unless it says otherwise."""
    if path.startswith("/") or storage.like_uri(path):
        return storage.absolute(path)
    windows = "\\" in path and "/" not in path
    folder = storage.absolute(root) if root else storage.parent(table)
    return storage.below(folder, path.replace("\\", "/") if windows else path)


def _patients(
    uri: str, table: Any, originals: Sequence[Original], options: PackOptions
) -> tuple[Sequence[str], tuple[Finding, ...]]:
    name = options.patient_column
    if name in (None, "none"):
        message = f"pack.patient_column={name or 'null'}: each row is its own patient"
        return [each.sample_id for each in originals], patients_unknown(message)
    patients = texts(uri, table, name)
    _check(uri, name, patients)
    return patients, ()


def _check(uri: str, name: str, values: Sequence[str]) -> None:
    """No value is empty."""
    empty = [i for i, value in enumerate(values) if not value]
    if empty:
        raise UserError(
            f"{uri}: {len(empty)} rows have no {name}, the first is row {empty[0] + 1}; "
            "fill or remove them"
        )


def _part(uri: str, text: str) -> str | None:
    if not text:
        return None
    part = PARTS.get(text.strip().lower())
    if part is None:
        raise UserError(f"{uri}: unknown split {one_line(text)!r}; use train, val or test")
    return part

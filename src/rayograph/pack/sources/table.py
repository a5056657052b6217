"""A table with a row a record; and what any table says of originals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Finding
from rayograph.data.recipe import TableRecipe
from rayograph.errors import UserError, one_line
from rayograph.pack.labelling import Labelling, labelling
from rayograph.pack.sources import records, several
from rayograph.pack.sources.base import PARTS, Original, Source, SourceItem, patients_unknown
from rayograph.pack.sources.reading import read_table, texts, typed


@dataclass(frozen=True)
class Rows:
    """The rows of a table, in groups: each group is of one original.

    `apart` are the columns that are no metadata, `own` metadata by names of ours, a value a row.
    """

    uri: str
    table: Any
    groups: Sequence[Sequence[int]]
    labels: Sequence[str]
    apart: Iterable[str | None]
    own: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def first(self, values: Sequence[Any]) -> list[Any]:
        """What the first row of each original says, of values by row."""
        return [values[group[0]] for group in self.groups]

    def same(self, name: str, column: str, originals: Sequence[Original]) -> list[str]:
        """The same of a column of which all rows of an original must say the same."""
        values = texts(self.uri, self.table, column)
        for original, group in zip(originals, self.groups, strict=True):
            if len({values[i] for i in group}) > 1:
                raise UserError(
                    f"{self.uri}: the rows of {one_line(original.sample_id)} say different {name}"
                )
        return self.first(values)


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
    rows = Rows(uri, table, [[i] for i in range(len(originals))], labels, ())
    patients: list[str | None] = [each.sample_id for each in originals]
    if options.patient_column in (None, "none"):
        told = f"pack.patient_column={options.patient_column or 'null'}: each row is its own"
        findings += patients_unknown(f"{told} patient")
    else:
        patients = list(patients_of(rows, originals, options.patient_column))
    items, said = items_of(rows, originals, patients, options)
    return Source(uri, items, options.task, said.classes, recipe, (*findings, *said.findings))


def items_of(
    rows: Rows,
    originals: Sequence[Original],
    patients: Sequence[str | None],
    options: PackOptions,
) -> tuple[tuple[SourceItem, ...], Labelling]:
    """What a table says of originals: labels, splits, and the rest as metadata.

    Labels are worked out over the rows that are of an original; those whose class is left out are
    no items.
    """
    uri, table = rows.uri, rows.table
    used = [i for group in rows.groups for i in group]
    columns = {name: texts(uri, table, name) for name in rows.labels}
    columns = {name: [values[i] for i in used] for name, values in columns.items()}
    said = labelling(uri, columns, options, used)
    place = {row: i for i, row in enumerate(used)}
    names = [each.sample_id for each in originals]
    places = [[place[row] for row in group] for group in rows.groups]
    labels = several.together(uri, names, places, said.labels, options)
    splits: list[str | None] = [None] * len(originals)
    if (
        options.split_column in table.column_names
        and options.split == "source"
        and options.test_list is None
    ):
        told = rows.same("splits", options.split_column, originals)
        splits = [_part(uri, text) for text in told]
    apart = {*rows.apart, *rows.labels, options.patient_column, options.split_column}
    kept = {n: typed(table.column(n)) for n in table.column_names if n not in apart}
    metadata = {
        f"source_{n}" if n in rows.own else n: rows.first(c.to_pylist())
        for n, c in kept.items() if not pa.types.is_nested(c.type)
    }  # fmt: skip
    metadata |= {name: rows.first(values) for name, values in rows.own.items()}
    items = tuple(
        SourceItem(
            sample_id=original.sample_id,
            uri=original.uri,
            data=original.data,
            labels=own,
            patient_id=patients[i],
            split=splits[i],
            metadata={name: values[i] for name, values in metadata.items()},
        )
        for i, (original, own) in enumerate(zip(originals, labels, strict=True))
        if own is not None
    )
    return items, said


def patients_of(rows: Rows, originals: Sequence[Original], column: str) -> list[str]:
    """The patient of each original by a column, of which no value may be empty."""
    said = rows.same("patients", column, originals)
    check_filled(rows.uri, column, said, [group[0] for group in rows.groups])
    return said


def check_filled(
    uri: str, name: str, values: Sequence[str], rows: Sequence[int] | None = None
) -> None:
    """Raise `UserError` where a value is empty; `rows` are where they stand in the table."""
    empty = [i for i, value in zip(rows or range(len(values)), values, strict=True) if not value]
    if empty:
        raise UserError(
            f"{uri}: {len(empty)} rows have no {name}, the first is row {empty[0] + 1}; "
            "fill or remove them"
        )


def _known(place: str | None) -> TableRecipe | None:
    """The recipe of a dataset of records, where one is named; `UserError` of another kind."""
    if place is None:
        return None
    recipe = Dataset.open(place).manifest.recipe
    if not isinstance(recipe, TableRecipe):
        raise UserError(f"pack.like={place}: not a dataset of records")
    return recipe


def _part(uri: str, text: str) -> str | None:
    if not text:
        return None
    part = PARTS.get(text.strip().lower())
    if part is None:
        raise UserError(f"{uri}: unknown split {one_line(text)!r}; use train, val or test")
    return part

"""A table of records: a row is a sample, its columns are what a model sees."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rayograph.config import PackOptions, SourceOptions
from rayograph.config.nearest import nearest
from rayograph.data.manifest import Finding
from rayograph.data.recipe import (
    MOST_CATEGORIES,
    MOST_FEATURES,
    MOST_WIDTH,
    TableColumn,
    TableRecipe,
)
from rayograph.errors import UserError, one_line
from rayograph.pack.decode import records
from rayograph.pack.labels import is_missing
from rayograph.pack.sources.base import Original
from rayograph.pack.sources.reading import read_table, texts

Texts = Sequence[str]
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
LONGEST_ID = 1000  # characters


def label_columns(uri: str, names: list[str], options: PackOptions) -> list[str]:
    """The columns of labels: those that are named, else `label`, else the last one of `names`."""
    named = options.label_columns or filter(None, [options.label_column])
    found = list(named) or ["label" if "label" in names else names[-1]]
    check_columns(uri, "pack.label_column", found, names)
    return found


def check_columns(uri: str, option: str, named: Sequence[str], names: Sequence[str]) -> None:
    """Raise `UserError` where an option names a column that is not there."""
    for name in named:
        if name not in names:
            raise UserError(
                f"{uri}: {option}: no column {one_line(name)}{nearest(name, list(names))}; it has "
                f"{one_line(', '.join(names))}"
            )


def recipe_of(
    uri: str, columns: Mapping[str, Texts], options: PackOptions
) -> tuple[TableRecipe, tuple[Finding, ...]]:
    """What each column of features is, and what is odd about them; `UserError` where one is none.

    A column is of numbers if every value of it is one, or `pack.categorical` does not name it and
    most are: then the others are named, and refused.
    """
    if not columns:
        raise UserError(f"{uri}: no column is left beside labels, ids and what is excluded")
    check_columns(uri, "pack.categorical", options.categorical, list(columns))
    found = [_column(uri, name, column, options) for name, column in columns.items()]
    constant = [name for name, column in columns.items() if len(set(column)) == 1]
    findings: tuple[Finding, ...] = ()
    if constant:
        message = f"{len(constant)} columns have one value only: {one_line(', '.join(constant))}"
        findings = (Finding(kind="constant_column", message=message),)
    rounded = [c.name for c in found if c.categories is None and _rounded(columns[c.name])]
    if rounded:
        message = (
            f"numbers are kept as float32, with 7 digits, and some values of "
            f"{one_line(', '.join(rounded))} become equal"
        )
        findings += (Finding(kind="rounded", message=message),)
    width = sum(len(each.categories or ()) or 1 for each in found) + sum(c.missing for c in found)
    if width > MOST_WIDTH or len(found) > MOST_FEATURES:
        raise UserError(
            f"{uri}: {len(found):,} columns are {width:,} numbers with their categories; at most "
            f"{MOST_WIDTH:,}: leave columns out by pack.exclude"
        )
    return TableRecipe(columns=tuple(found)), findings


def _rounded(values: Texts) -> bool:
    """Whether different numbers are one as float32."""
    known = {float(text) for text in values if not is_missing(text)}
    return len(set(np.array(sorted(known), np.float32).tolist())) < len(known)


def leaks(columns: Mapping[str, Texts], labels: Mapping[str, Texts]) -> Iterator[Finding]:
    """Columns that give a label away: equal to it but for the names of its values."""
    for label, truth in labels.items():
        values = len(set(truth))
        for name, column in columns.items():
            pairs = len(set(zip(column, truth, strict=True)))
            if pairs == values == len(set(column)):
                message = f"the column {one_line(name)} says the same as {one_line(label)}"
                yield Finding(kind="column_equals_label", message=f"{message}; is it known before?")


def _column(uri: str, name: str, values: Texts, options: PackOptions) -> TableColumn:
    known = [text for text in values if not is_missing(text)]
    missing = len(known) < len(values)
    wrong = {text: place for place, text in reversed(list(enumerate(values))) if _no_number(text)}
    categorical = name in options.categorical
    if wrong and not categorical and all(DECIMAL_COMMA.fullmatch(text) for text in wrong):
        raise UserError(
            f"{uri}: {one_line(name)} has decimal commas, such as {values[min(wrong.values())]}; "
            f"write points, or pack.categorical=[{one_line(name)}]"
        )
    few = sum(count for text, count in Counter(known).items() if text in wrong) <= len(known) / 2
    if not categorical and not (wrong and not few):
        if wrong:
            text, row = min(wrong.items(), key=lambda item: item[1])
            raise UserError(
                f"{uri}: {one_line(name)} is {one_line(text)!r} in row {row + 1}, among numbers; "
                f"mend it, or pack.categorical=[{one_line(name)}]"
            )
        return TableColumn(name=name, missing=missing)
    categories = tuple(sorted(set(known)))
    if len(categories) > MOST_CATEGORIES:
        raise UserError(
            f"{uri}: {one_line(name)} has {len(categories):,} different texts, at most "
            f"{MOST_CATEGORIES:,} can be categories; leave it out: pack.exclude=[{one_line(name)}]"
        )
    return TableColumn(name=name, categories=categories, missing=missing)


def _no_number(text: str) -> bool:
    """Whether it is neither a finite number nor a spelling of nothing."""
    value = records.number(text)
    return not is_missing(text) and (value is None or not math.isfinite(value))


def ids(uri: str, table: Any, options: SourceOptions) -> list[str]:
    """The name of each row: its id, else its number from 1; `UserError` where two are the same."""
    name = options.id_column
    if name is None:
        return [str(row) for row in range(1, table.num_rows + 1)]
    found = texts(uri, table, name)
    wrong = [i for i, text in enumerate(found, 1) if not 0 < len(text) <= LONGEST_ID]
    if wrong:
        raise UserError(
            f"{uri}: {one_line(name)} of row {wrong[0]} is empty, or longer than {LONGEST_ID}"
        )
    row, count = Counter(found).most_common(1)[0]
    if count > 1:
        raise UserError(f"{uri}: {name} {one_line(row)!r} appears in {count} rows; an id has one")
    return found


def rows_of(uri: str, recipe: TableRecipe, options: SourceOptions) -> list[Original]:
    """The rows of a table for prediction; `UserError` where a column of the recipe is missing."""
    table = read_table(uri, [column.name for column in recipe.columns])
    columns = {each.name: texts(uri, table, each.name) for each in recipe.columns}
    return originals(uri, columns, ids(uri, table, options))


def originals(uri: str, columns: Mapping[str, Texts], names: Sequence[str]) -> list[Original]:
    """Each row as an original that needs no reading."""
    rows = zip(*columns.values(), strict=True)
    return [
        Original(
            sample_id=name,
            uri=f"{uri}#{name}",
            data=records.original(name, dict(zip(columns, row, strict=True))),
        )
        for name, row in zip(names, rows, strict=True)
    ]

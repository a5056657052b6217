"""Tables as a layout needs them: stacked, joined, renamed, with paths made of their columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rayograph.errors import UserError, one_line
from rayograph.pack.sources.reading import texts

FIELD = re.compile(r"\{([^{}:]+)(?::\.(\d{1,3}))?\}")  # {column}, {column:.2}: its first letters
SPLIT = "split"  # the column that says which table a row is of
APART = "\x1f"  # between the values of a key


def with_column(table: Any, name: str, values: Sequence[str]) -> Any:
    """A table with a column of texts more, or instead of one of that name."""
    column = pa.array(values, pa.string())
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def renamed(uri: str, table: Any, names: Mapping[str, str]) -> Any:
    """A table with other names for some columns; `UserError` where two then have one."""
    new = [names.get(name, name) for name in table.column_names]
    twice = next((name for name in new if new.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{uri}: two columns are {one_line(twice)} by the layout's names")
    return table.rename_columns(new)


def stacked(uri: str, tables: Mapping[str, Any]) -> Any:
    """Tables below each other, with the name of each as `split`; what one lacks is empty there.

    Raises `UserError` where a column is of different types, as those of Parquet may be.
    """
    if list(tables) == [""]:
        return tables[""]
    marked = [with_column(table, SPLIT, [part] * len(table)) for part, table in tables.items()]
    try:
        whole = pa.concat_tables(marked, promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError(f"{uri}: its tables do not fit together: {one_line(error)}") from None
    columns = [
        pc.fill_null(column, "") if column.type == pa.string() else column
        for column in whole.columns
    ]
    return pa.table(columns, names=whole.column_names)


def joined(uri: str, table: Any, place: str, other: Any, on: Sequence[str]) -> Any:
    """Each row with the columns that `other` has in its row of the same key; else empty ones.

    Raises `UserError` where two rows of `other` have one key, or no row of `table` finds its own.
    """
    keys = [_keys(uri, table, on), _keys(place, other, on)]
    if len(pc.unique(keys[1])) < len(other):
        raise UserError(f"{place}: two rows have the same {', '.join(on)}")
    found = pc.index_in(keys[0], value_set=keys[1])
    if found.null_count == len(table):
        raise UserError(f"{place}: no row has a {', '.join(on)} of the table that it belongs to")
    for name in other.column_names:
        if name not in table.column_names:
            column = other.column(name).take(found)
            text = column.type == pa.string()
            table = table.append_column(name, pc.fill_null(column, "") if text else column)
    return table


def _keys(uri: str, table: Any, on: Sequence[str]) -> Any:
    columns = [pa.array(texts(uri, table, name), pa.string()) for name in on]
    return pc.binary_join_element_wise(*columns, APART)


def filled(uri: str, table: Any, name: str, columns: Sequence[str]) -> Any:
    """A table with a column that says what the first of some others says that says something."""
    there = [texts(uri, table, each) for each in columns if each in table.column_names]
    rows = zip(*there, strict=True)
    said = [next((text for text in row if text.strip()), "") for row in rows]
    return with_column(table, name, said) if there else table


def stripped(uri: str, table: Any, column: str, prefix: str) -> Any:
    """A table whose paths have a prefix no more; `*` in it is anything but a slash."""
    pattern = re.compile("[^/]*".join(re.escape(part) for part in prefix.split("*")))
    said = [pattern.sub("", text, count=1) if pattern.match(text) else text
            for text in texts(uri, table, column)]  # fmt: skip
    return with_column(table, column, said)


def paths(uri: str, table: Any, template: str) -> list[str]:
    """A path a row, of a template of columns such as `p{subject:.2}/{film}.jpg`.

    Raises `UserError` where a row has nothing in one of the columns.
    """
    fields = [(match[1], int(match[2]) if match[2] else None) for match in FIELD.finditer(template)]
    literal = FIELD.split(template)[::3]
    columns = [texts(uri, table, name) for name, _ in fields]
    found = []
    for i, row in enumerate(zip(*columns, strict=True)):
        out = literal[0]
        for (name, length), value, text in zip(fields, row, literal[1:], strict=True):
            if not value:
                raise UserError(f"{uri}: row {i + 1} has no {one_line(name)}, which its path needs")
            out += value[:length] + text
        found.append(out)
    return found

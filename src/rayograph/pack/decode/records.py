"""A row of a table in, a number a column out, as the recipe names them."""

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rayograph.data.recipe import TableColumn, TableRecipe
from rayograph.errors import one_line
from rayograph.pack.decode.errors import UnusableError
from rayograph.pack.labels import is_missing

Record = npt.NDArray[np.float32]


def original(name: str, row: Mapping[str, str]) -> bytes:
    """A row as bytes: the texts of its columns, and its name, since equal rows are no copies."""
    return json.dumps([name, row], sort_keys=True).encode()


def decode(data: bytes, recipe: TableRecipe) -> Record:
    """The record of a row's bytes, float32 [columns]; `UnusableError` names a value that is none.

    A category that the recipe does not know is the place behind its last one.
    """
    _, row = json.loads(data)
    values = [_number(column, row.get(column.name, "")) for column in recipe.columns]
    with np.errstate(over="ignore"):
        record = np.array(values, np.float32)
    too_large = np.flatnonzero(np.isinf(record))
    if len(too_large):
        column = recipe.columns[too_large[0]].name
        raise UnusableError(f"{column}: {one_line(row[column])} is not finite as a float32")
    return record


def _number(column: TableColumn, text: str) -> float:
    if is_missing(text):
        return np.nan
    if column.categories is not None:
        known = column.categories
        return float(known.index(text)) if text in known else float(len(known))
    value = number(text)
    if value is None:
        raise UnusableError(f"{column.name}: {one_line(text)!r} is not a number")
    return value


def number(text: str) -> float | None:
    """The number that a text is; None of one that is none, such as `1_003`, which Python reads."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None

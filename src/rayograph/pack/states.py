"""Several labels a sample: what a table says of each, as 1, 0, -1 (uncertain) and -2 (missing)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rayograph.config import PackOptions
from rayograph.errors import UserError, one_line
from rayograph.pack import labels
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN


class States(NamedTuple):
    """The labels by name, and the state of each in each row, int8 [n, k]."""

    names: tuple[str, ...]
    values: npt.NDArray[np.int8]


def of_columns(uri: str, columns: Mapping[str, Sequence[str]], options: PackOptions) -> States:
    """A label a column, by what each says; `UserError` names a value that says nothing known."""
    words = {
        **dict.fromkeys(map(str.casefold, options.present), PRESENT),
        **dict.fromkeys(map(str.casefold, options.absent), ABSENT),
        **dict.fromkeys(map(str.casefold, options.uncertain), UNCERTAIN),
    }

    def state(name: str, row: int, text: str) -> int:
        found = words.get(text.strip().casefold())
        if found is None and not labels.is_missing(text):
            raise UserError(
                f"{uri}: {one_line(name)} is {one_line(text)!r} in row {row + 1}; a label is one "
                "of pack.present, pack.absent or pack.uncertain, or nothing"
            )
        return MISSING if found is None else found

    names = tuple(name for name in columns if name not in options.drop_labels)
    found = [[state(name, i, text) for i, text in enumerate(columns[name])] for name in names]
    return _checked(uri, names, np.array(found, np.int8).T)


def of_findings(uri: str, values: Sequence[str], separator: str, options: PackOptions) -> States:
    """A label a finding that some row names; a row has those that it names, and no other.

    Nothing, or a name such as `No Finding`, is none at all.
    """
    named = [[word.strip() for word in value.split(separator)] for value in values]
    none = {*labels.MISSING, *labels.NEGATIVE}
    every = {word for row in named for word in row if labels.plain(word) not in none}
    names = tuple(sorted(every - set(options.drop_labels)))
    place = {name: i for i, name in enumerate(names)}
    found = np.full((len(values), len(names)), ABSENT, np.int8)
    for i, row in enumerate(named):
        for word in row:
            if word in place:
                found[i, place[word]] = PRESENT
    return _checked(uri, names, found)


def _checked(uri: str, names: tuple[str, ...], values: npt.NDArray[np.int8]) -> States:
    if not names:
        raise UserError(f"{uri}: no label is left; name columns in pack.label_columns")
    for name, column in zip(names, values.T, strict=True):
        if not (column >= ABSENT).any():
            raise UserError(
                f"{uri}: {one_line(name)} is known in no row; leave it out: "
                f"pack.drop_labels=[{one_line(name)}]"
            )
    return States(names, values)

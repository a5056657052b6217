"""Several labels a sample: what a table says of each, as 1, 0, -1 (uncertain) and -2 (missing)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rayograph.config import PackOptions
from rayograph.config.nearest import nearest
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack import labels
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN


class States(NamedTuple):
    """The labels by name, and the state of each in each row, int8 [n, k]."""

    names: tuple[str, ...]
    values: npt.NDArray[np.int8]
    findings: tuple[Finding, ...]


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

    alike = {name: labels.plain(name) for name in columns}
    if len(set(alike.values())) < len(alike):
        raise UserError(f"{uri}: two labels differ in spelling only: {one_line(', '.join(alike))}")
    names = _kept(uri, list(columns), options)
    found = [[state(name, i, text) for i, text in enumerate(columns[name])] for name in names]
    return _checked(uri, names, np.array(found, np.int8).T, ())


def of_findings(
    uri: str, values: Sequence[str], known: Sequence[str] | None, options: PackOptions
) -> States:
    """A label a finding that some row names; a row has those that it names, and no other.

    Nothing, or a name such as `No Finding`, is none at all. Spellings that differ in case, blanks
    or underscores only are one label. Where the labels are `known`, other findings are left out.
    """
    separator = options.label_separator
    if not separator:
        raise UserError("pack.label_separator: must be what joins findings, such as |")
    none = {*labels.MISSING, *labels.NEGATIVE}
    rows = [
        {labels.plain(word): word.strip() for word in value.split(separator)} for value in values
    ]
    rows = [{key: word for key, word in row.items() if key not in none} for row in rows]
    spelled: dict[str, Counter[str]] = {}
    for row in rows:
        for key, word in row.items():
            spelled.setdefault(key, Counter())[word] += 1
    wanted = {labels.plain(name): name for name in known or ()}
    every = wanted or {key: words.most_common(1)[0][0] for key, words in spelled.items()}
    names = _kept(uri, sorted(every.values()) if known is None else list(known), options)
    place = {key: names.index(name) for key, name in every.items() if name in names}
    found = np.full((len(values), len(names)), ABSENT, np.int8)
    for i, row in enumerate(rows):
        for key in row.keys() & place.keys():
            found[i, place[key]] = PRESENT
    return _checked(uri, names, found, tuple(_odd(spelled, set(every))))


def _odd(spelled: Mapping[str, Counter[str]], every: set[str]) -> Iterator[Finding]:
    for key, words in spelled.items():
        if key in every and len(words) > 1:
            message = f"{', '.join(map(repr, words))} are one label: they differ in spelling only"
            yield Finding(kind="label_spelling", message=one_line(message))
    left = [words.most_common(1)[0][0] for key, words in spelled.items() if key not in every]
    if left:
        message = f"findings that are no label of pack.like are left out: {', '.join(left)}"
        yield Finding(kind="labels_left_out", message=one_line(message))


def _kept(uri: str, names: Sequence[str], options: PackOptions) -> tuple[str, ...]:
    """The labels without those to leave out; `UserError` where one of these is none."""
    for name in options.drop_labels:
        if name not in names:
            hint = nearest(name, list(names)) or f"; it has {one_line(', '.join(names))}"
            raise UserError(f"{uri}: pack.drop_labels: no label {one_line(name)}{hint}")
    return tuple(name for name in names if name not in options.drop_labels)


def _checked(
    uri: str,
    names: tuple[str, ...],
    values: npt.NDArray[np.int8],
    findings: tuple[Finding, ...],
) -> States:
    if not names:
        raise UserError(f"{uri}: no label is left; name columns in pack.label_columns")
    for name, column in zip(names, values.T, strict=True):
        if not (column >= ABSENT).any():
            raise UserError(
                f"{uri}: {one_line(name)} is known in no row; leave it out: "
                f"pack.drop_labels=[{one_line(name)}]"
            )
        if PRESENT in column and ABSENT not in column:
            message = f"{one_line(name)} is absent in no row: it cannot be told from the others"
            findings = (*findings, Finding(kind="label_never_absent", message=message))
    return States(names, values, findings)

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
from rayograph.pack import classes, labels
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN


class States(NamedTuple):
    """The labels by name, and the state of each in each row, int8 [n, k]."""

    names: tuple[str, ...]
    values: npt.NDArray[np.int8]
    findings: tuple[Finding, ...]


def of_columns(
    uri: str,
    columns: Mapping[str, Sequence[str]],
    options: PackOptions,
    rows: Sequence[int] | None = None,
) -> States:
    """A label a column, by what each says; `UserError` names a value that says nothing known.

    `pack.classes` joins columns: present if one is, absent only if all are. `rows` are where the
    samples stand in their table, from 0.
    """
    words = {
        **dict.fromkeys(map(str.casefold, options.present), PRESENT),
        **dict.fromkeys(map(str.casefold, options.absent), ABSENT),
        **dict.fromkeys(map(str.casefold, options.uncertain), UNCERTAIN),
    }

    def state(name: str, row: int, text: str) -> int:
        found = words.get(text.strip().casefold())
        if found is None and not labels.is_missing(text):
            raise UserError(
                f"{uri}: {one_line(name)} is {one_line(text)!r} in row "
                f"{(row if rows is None else rows[row]) + 1}; a label is one "
                "of pack.present, pack.absent or pack.uncertain, or nothing"
            )
        return MISSING if found is None else found

    alike = {name: labels.plain(name) for name in columns}
    if len(set(alike.values())) < len(alike):
        raise UserError(f"{uri}: two labels differ in spelling only: {one_line(', '.join(alike))}")
    groups, findings = {name: [name] for name in columns}, tuple[Finding, ...]()
    if options.classes:
        to = classes.by_spelling(uri, options.classes, columns)
        groups = {name: [c for c in columns if to.get(alike[c]) == name] for name in to.values()}
        left = {name: len(columns[name]) for name in columns if alike[name] not in to}
        findings = tuple(classes.left_out("labels_left_out", "values", left))
    names = _kept(uri, list(groups), options)

    def joined(group: Sequence[str]) -> npt.NDArray[np.int8]:
        every = [[state(name, i, text) for i, text in enumerate(columns[name])] for name in group]
        return any_present(np.array(every, np.int8), strict=True)

    found = np.array([joined(groups[name]) for name in names], np.int8)
    return _checked(uri, names, found.T, findings)


def any_present(states: npt.NDArray[np.int8], strict: bool = False) -> npt.NDArray[np.int8]:
    """The state of a label that is there if one of several, int8 [m, …], is; int8 […].

    Where none is present, one that is uncertain leaves it uncertain, and with `strict` one that is
    not known leaves it not known; otherwise those that are not known say nothing.
    """
    order = (PRESENT, UNCERTAIN, MISSING, ABSENT) if strict else (PRESENT, UNCERTAIN, ABSENT)
    return np.select([(states == state).any(axis=0) for state in order], order, MISSING).astype(
        np.int8
    )


def of_findings(
    uri: str, values: Sequence[str], known: Sequence[str] | None, options: PackOptions
) -> States:
    """A label a finding that some row names; a row has those that it names, and no other.

    Nothing, or a name such as `No Finding`, is none at all. Spellings that differ in case, blanks
    or underscores only are one label, and so are those that `pack.classes` joins. Where the labels
    are `known`, other findings are left out.
    """
    separator = options.label_separator
    if not separator:
        raise UserError("pack.label_separator: must be what joins findings, such as |")
    none = {*labels.MISSING, *labels.NEGATIVE}
    rows = [
        {labels.plain(word): word.strip() for word in value.split(separator)} for value in values
    ]
    left = Counter[str]()
    if options.classes:
        to = classes.by_spelling(uri, options.classes, {w for row in rows for w in row.values()})
        left.update(w for row in rows for k, w in row.items() if k not in to and k not in none)
        rows = [{labels.plain(to[k]): to[k] for k in row if k in to} for row in rows]
    else:
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
    findings = (*classes.left_out("labels_left_out", "findings", left),
                *_odd(spelled, set(every)))  # fmt: skip
    return _checked(uri, names, found, findings)


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

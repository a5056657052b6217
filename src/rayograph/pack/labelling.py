"""What a source says of its samples, as labels of a task."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import MOST_CLASSES, Finding
from rayograph.errors import UserError, one_line
from rayograph.pack import classes, labels, states
from rayograph.task.multiclass import Multiclass

Texts = Sequence[str]


class Labelling(NamedTuple):
    """The classes (the negative one first) or labels, and of each sample the state of each.

    A sample of a class that is left out has None.
    """

    classes: tuple[str, ...]
    labels: list[tuple[int, ...] | None]
    findings: tuple[Finding, ...]


def labelling(
    uri: str,
    columns: Mapping[str, Texts],
    options: PackOptions,
    rows: Sequence[int] | None = None,
) -> Labelling:
    """The labels in one column, or in several, a text a sample; `UserError` where they are none.

    `rows` are where the samples stand in their table, from 0; all of it if there are none.
    """
    if options.task == "multiclass":
        if len(columns) > 1 or options.label_separator is not None:
            raise UserError(
                f"{uri}: several labels a sample are pack.task=multilabel; of pack.task=multiclass "
                "one column says the class"
            )
        ((name, texts),) = columns.items()
        return _classes(uri, name, texts, options, rows)
    if options.label_separator is None:
        found = states.of_columns(uri, columns, options, rows)
    else:
        if len(columns) > 1:
            raise UserError(
                f"{uri}: pack.label_separator is of one column, pack.label_column; leave it out "
                "for pack.label_columns"
            )
        (texts,) = columns.values()
        known = Dataset.open(options.like).manifest.classes if options.like else None
        found = states.of_findings(uri, texts, known, options)
    _check_many(uri, found.names)
    return Labelling(found.names, [tuple(row) for row in found.values.tolist()], found.findings)


def _check_many(uri: str, names: Sequence[str]) -> None:
    if len(names) > MOST_CLASSES:
        raise UserError(
            f"{uri}: {len(names):,} classes, at most {MOST_CLASSES:,}: is the label column right?"
        )


def _classes(
    uri: str, name: str, given: Texts, options: PackOptions, rows: Sequence[int] | None
) -> Labelling:
    texts, left = classes.renamed(uri, given, options.classes)
    kept = [text for text in texts if text is not None]
    if not options.classes:
        empty = [i for i, text in enumerate(kept) if labels.is_missing(text)]
        if empty:
            first = (empty[0] if rows is None else rows[empty[0]]) + 1
            raise UserError(
                f"{uri}: {len(empty)} rows have no {one_line(name)}, the first is row {first}; "
                "fill or remove them"
            )
    spelling, odd = labels.spellings(uri, kept)
    _check_many(uri, sorted(set(spelling.values())))
    if options.split == "test":
        names = tuple(labels.by_name(spelling.values()))
    else:
        names = labels.ordered(uri, list(spelling.values()), options.negative)
    task = Multiclass(names)
    states_of = {each: tuple(task.encode(each).tolist()) for each in names}
    found = [None if text is None else states_of[spelling[text]] for text in texts]
    return Labelling(names, found, (*left, *odd))

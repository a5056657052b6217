"""What a source says of its samples, as labels of a task."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import MOST_CLASSES, Finding
from rayograph.errors import UserError, one_line
from rayograph.pack import labels, states
from rayograph.task.multiclass import Multiclass

Texts = Sequence[str]


class Labelling(NamedTuple):
    """The classes (the negative one first) or labels, and of each sample the state of each."""

    classes: tuple[str, ...]
    labels: list[tuple[int, ...]]
    findings: tuple[Finding, ...]


def labelling(uri: str, columns: Mapping[str, Texts], options: PackOptions) -> Labelling:
    """The labels in one column, or in several, a text a sample; `UserError` where they are none."""
    if options.task == "multiclass":
        if len(columns) > 1 or options.label_separator is not None:
            raise UserError(
                f"{uri}: several labels a sample are pack.task=multilabel; of pack.task=multiclass "
                "one column says the class"
            )
        ((name, texts),) = columns.items()
        return _classes(uri, name, texts, options)
    if options.label_separator is None:
        found = states.of_columns(uri, columns, options)
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
    rows = [tuple(row) for row in found.values.tolist()]
    return Labelling(found.names, rows, found.findings)


def _check_many(uri: str, names: Sequence[str]) -> None:
    if len(names) > MOST_CLASSES:
        raise UserError(
            f"{uri}: {len(names):,} classes, at most {MOST_CLASSES:,}: is the label column right?"
        )


def _classes(uri: str, name: str, texts: Texts, options: PackOptions) -> Labelling:
    empty = [i for i, text in enumerate(texts) if labels.is_missing(text)]
    if empty:
        raise UserError(
            f"{uri}: {len(empty)} rows have no {one_line(name)}, the first is row {empty[0] + 1}; "
            "fill or remove them"
        )
    spelling, findings = labels.spellings(uri, texts)
    _check_many(uri, sorted(set(spelling.values())))
    if options.split == "test":
        classes = tuple(labels.by_name(spelling.values()))
    else:
        classes = labels.ordered(uri, list(spelling.values()), options.negative)
    task = Multiclass(classes)
    states_of = {name: tuple(task.encode(name).tolist()) for name in classes}
    return Labelling(classes, [states_of[spelling[text]] for text in texts], findings)

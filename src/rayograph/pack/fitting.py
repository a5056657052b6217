"""Labels in the classes that a dataset has: of films whose rows waited for what headers say."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError, one_line
from rayograph.pack import labels
from rayograph.pack.identify import Identified
from rayograph.pack.samples import Sample
from rayograph.pack.sources import Source, SourceItem
from rayograph.task import ABSENT, MISSING, PRESENT

Labelled = TypeVar("Labelled", SourceItem, Sample)


def of_films(found: Identified, options: PackOptions) -> Identified:
    """What waited for headers without the classes that no film has: a whole table may have them.

    Raises `UserError` where no row has a film, or what is left is no task for a classifier.
    """
    source, samples = found.source, found.samples
    if source.awaiting is None:
        return found
    if not samples:
        raise UserError(
            f"{source.uri}: no film has a {source.awaiting.keyword} that a row of the table names, "
            f"such as {one_line(next(iter(source.awaiting.rows), 'none'))}; pack.match says what "
            "rows name films by"
        )
    if source.task != "multiclass":
        return found
    names = _occurring(source, samples)
    if options.split != "test":
        names = labels.ordered(source.uri, names, options.negative)
    return found._replace(
        source=replace(source, classes=names), samples=in_classes(samples, source, names)
    )


def of_dataset(found: Identified, old: Dataset) -> Identified:
    """What waited for headers in the classes of a dataset; `UserError` of one that it lacks."""
    source, samples = found.source, found.samples
    if source.awaiting is None:
        return found
    many = source.task == "multilabel"
    check_known(source.uri, source.classes if many else _occurring(source, samples), old)
    names = old.manifest.classes
    return found._replace(
        source=replace(source, classes=names), samples=in_classes(samples, source, names)
    )


def check_known(uri: str, classes: Sequence[str], old: Dataset) -> None:
    """Raise `UserError` for classes that a dataset does not have."""
    unknown = [name for name in classes if name not in old.manifest.classes]
    if unknown:
        raise UserError(
            f"{uri}: {one_line(', '.join(unknown))} is no class of {old.uri}, which has "
            f"{one_line(', '.join(old.manifest.classes))}; pack again with --overwrite"
        )


def in_classes(
    labelled: Iterable[Labelled], source: Source, classes: Sequence[str]
) -> list[Labelled]:
    """The same with the states of `classes`; a label that the source lacks is not known."""
    lacking = MISSING if source.task == "multilabel" else ABSENT
    place = {name: i for i, name in enumerate(source.classes)}
    places = [place.get(name) for name in classes]
    return [
        replace(each, labels=tuple(lacking if i is None else each.labels[i] for i in places))
        for each in labelled
    ]


def _occurring(source: Source, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The classes that a film has."""
    own = {sample.labels.index(PRESENT) for sample in samples}
    return tuple(name for i, name in enumerate(source.classes) if i in own)

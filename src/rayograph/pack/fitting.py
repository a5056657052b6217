"""Samples held to what they shall be with: to the classes that films have, or to a dataset."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack import describe, labels
from rayograph.pack.identify import Identified
from rayograph.pack.plan import inputs_of
from rayograph.pack.samples import Sample
from rayograph.pack.sources import Source, SourceItem
from rayograph.task import ABSENT, MISSING, PRESENT

ANEW = (
    "rejected", "no_films_at_all", "ignored", "no_films", "no_films_of_class",
    "patient_in_two_splits", "identical_file_in_two_splits", "near_identical", *describe.SIGNS,
)  # fmt: skip
OF_EACH = ("patients_unknown", "other_views", "other_body_parts")  # of new films beside the others
Labelled = TypeVar("Labelled", SourceItem, Sample)


def of_films(found: Identified, options: PackOptions) -> Identified:
    """What waited for headers without the classes that no film has: a whole table may have them.

    Raises `UserError` where what is left is no task for a classifier.
    """
    source, samples = found.source, found.samples
    if source.awaiting is None or source.task != "multiclass":
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


def known_classes(source: Source, old: Dataset, options: PackOptions) -> Source:
    """The source in the classes of a dataset; `UserError` where it does not fit."""
    manifest = old.manifest
    if source.task != manifest.task:
        raise UserError(f"{old.uri}: its task is {manifest.task}, not pack.task={source.task}")
    if source.awaiting is None:
        check_known(source.uri, source.classes, old)
    ours = source.recipe.model_dump() | {"inputs": str(inputs_of(source.recipe, options))}
    theirs = manifest.recipe.model_dump() | {"inputs": str(old.inputs)}
    other = [name for name in theirs if ours.get(name) != theirs[name]]
    if other:
        raise UserError(
            f"{old.uri}: was packed with another {other[0]} ({one_line(theirs[other[0]])}, not "
            f"{one_line(ours.get(other[0]))}); give the same options, or pack again"
        )
    if source.awaiting is not None:  # whose films' classes are known when headers are read
        return source
    items = tuple(in_classes(source.items, source, manifest.classes))
    return replace(source, classes=manifest.classes, items=items)


def findings(found: Identified, old: Dataset) -> tuple[Finding, ...]:
    """What is odd of new films and of those that were there; counts over all are made anew.

    Which rows of a table have no film is not known of new films alone.
    """
    awaited = found.source.awaiting is not None
    new = [f for f in found.source.findings if not (awaited and f.kind == "rows_without_films")]
    told = {*ANEW, *(f.kind for f in new if f.kind not in OF_EACH)}
    kept = [f for f in old.manifest.findings if f.kind not in told]
    return tuple(dict.fromkeys((*kept, *new)))

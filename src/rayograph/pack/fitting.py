"""New films held to the dataset that they are added to: its recipe, classes and findings."""

from collections.abc import Sequence
from dataclasses import replace

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.identify import Identified
from rayograph.pack.packing import inputs_of
from rayograph.pack.sources import Source
from rayograph.task import ABSENT, MISSING

ANEW = ("rejected", "ignored", "no_films", "no_films_of_class", "patient_in_two_splits",
        "identical_file_in_two_splits", "near_identical")  # fmt: skip
OF_EACH = ("patients_unknown", "other_views", "other_body_parts")  # of new films beside the others


def fitting(source: Source, old: Dataset, options: PackOptions) -> Source:
    """The source in the classes of a dataset; `UserError` where it does not fit."""
    manifest = old.manifest
    if source.task != manifest.task:
        raise UserError(f"{old.uri}: its task is {manifest.task}, not pack.task={source.task}")
    ours = source.recipe.model_dump() | {"inputs": str(inputs_of(source.recipe, options))}
    theirs = manifest.recipe.model_dump() | {"inputs": str(old.inputs)}
    other = [name for name in theirs if ours.get(name) != theirs[name]]
    if other:
        raise UserError(
            f"{old.uri}: was packed with another {other[0]} ({one_line(theirs[other[0]])}, not "
            f"{one_line(ours.get(other[0]))}); give the same options, or pack again"
        )
    if source.awaiting:
        return source
    labels = _ordered(source, old, [item.labels for item in source.items])
    items = (replace(i, labels=own) for i, own in zip(source.items, labels, strict=True))
    return replace(source, classes=manifest.classes, items=tuple(items))


def in_classes(found: Identified, old: Dataset) -> Identified:
    """What was identified, in the classes of a dataset; `UserError` where it does not fit."""
    labels = _ordered(found.source, old, [sample.labels for sample in found.samples])
    samples = [replace(s, labels=own) for s, own in zip(found.samples, labels, strict=True)]
    return found._replace(
        source=replace(found.source, classes=old.manifest.classes), samples=samples
    )


def _ordered(
    source: Source, old: Dataset, labels: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Labels of a source as labels of a dataset; `UserError` where that lacks a class."""
    classes = old.manifest.classes
    unknown = [name for name in source.classes if name not in classes]
    if unknown:
        raise UserError(
            f"{source.uri}: {one_line(', '.join(unknown))} is no class of {old.uri}, which has "
            f"{one_line(', '.join(classes))}; pack again with --overwrite"
        )
    absent = MISSING if source.task == "multilabel" else ABSENT
    places = [source.classes.index(c) if c in source.classes else None for c in classes]
    return [tuple(absent if i is None else own[i] for i in places) for own in labels]


def findings(found: Identified, old: Dataset) -> tuple[Finding, ...]:
    """What is odd of new films and of those that were there; counts over all are made anew.

    Which rows of a table have no film is not known of new films alone.
    """
    awaited = found.source.awaiting is not None
    new = [f for f in found.source.findings if not (awaited and f.kind == "rows_without_films")]
    told = {*ANEW, *(f.kind for f in new if f.kind not in OF_EACH)}
    kept = [f for f in old.manifest.findings if f.kind not in told]
    return tuple(dict.fromkeys((*kept, *new)))

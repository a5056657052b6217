"""Class folders, optionally under train/, val/, test/."""

import re
from collections.abc import Iterator

from rayograph.config import PackOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError
from rayograph.pack.labelling import labelling
from rayograph.pack.sources import patients
from rayograph.pack.sources.base import (
    PARTS,
    Source,
    SourceItem,
    files_below,
    film_recipe,
    parts_of,
)


def open_folders(uri: str, options: PackOptions) -> Source:
    """List CLASS/film or PART/CLASS/film."""
    found = files_below(uri, options.exclude)
    names = list(found.films)
    paths = [parts_of(name) for name in names]
    depth = _depth(uri, paths)
    whose = patients.of_films(uri, names, options.patient_pattern)
    if options.task != "multiclass":
        raise UserError(f"{uri}: pack.task={options.task} needs a table: a folder is one class")
    said = labelling(uri, {"class": [path[depth] for path in paths]}, options)
    items = tuple(
        SourceItem(
            sample_id=name,
            uri=found.films[name],
            labels=own,
            patient_id=patient,
            split=PARTS[path[0].lower()] if depth else None,
        )
        for name, path, own, patient in zip(names, paths, said.labels, whose, strict=True)
        if own is not None
    )
    findings = (*said.findings, *_masks(names), *found.findings)
    recipe = film_recipe(options)
    return Source(uri, items, options.task, said.classes, recipe, findings, found.ignored)


def _masks(names: list[str]) -> Iterator[Finding]:
    """Lung masks beside the films, as in Kaggle's COVID-19 Radiography Database."""
    masks = [name for name in names if re.search(r"(^|/)masks?/", name, re.IGNORECASE)]
    if masks and len(masks) < len(names):
        message = (
            f"{len(masks)} files in folders of masks are packed as films, the first is {masks[0]}; "
            "'pack.exclude=[\"*/masks/*\"]' leaves them out"
        )
        yield Finding(kind="masks", message=message, films=tuple(masks[:20]))


def _depth(uri: str, paths: list[list[str]]) -> int:
    """Where in a path its class stands: 1 under train/, val/, test/, else 0."""
    strays = [path for path in paths if path[0].lower() not in PARTS]
    if 0 < len(strays) < len(paths):
        raise UserError(
            f"{uri}: {'/'.join(strays[0])} is in none of train/, val/, test/ that other films are "
            "in; move or remove it"
        )
    depth = 0 if strays else 1
    for path in paths:
        if len(path) < depth + 2:
            raise UserError(
                f"{uri}: {'/'.join(path)} is in no class folder; put films in CLASS/ or PART/CLASS/"
            )
    return depth

"""A table with rows of films: which films they are of, and what they say of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.labels import plain
from rayograph.pack.sources import matching, particulars, patients
from rayograph.pack.sources.base import (
    Awaiting,
    Original,
    Source,
    SourceItem,
    film_recipe,
    is_dicom,
    patients_unknown,
)
from rayograph.pack.sources.matching import Matched
from rayograph.pack.sources.reading import read_table, texts
from rayograph.pack.sources.table import Rows, check_filled, items_of, patients_of
from rayograph.pack.views import wanted


def open_films(uri: str, options: PackOptions) -> Source:
    """List the films of a table, or of a folder whose table is `pack.table`."""
    table = options.table or uri
    root = storage.absolute(options.root) if options.root else None
    folder = uri if options.table else storage.parent(uri)
    return films_in(table, read_table(table, []), root or folder, options)


def films_in(uri: str, table: Any, root: str, options: PackOptions) -> Source:
    """List the films of a table that was read; columns that no option names are metadata."""
    if options.patient_pattern is not None and options.patient_column is not None:
        raise UserError(
            "pack.patient_column and pack.patient_pattern: give one; a film has one patient"
        )
    column, labels = _path_column(table, options), _label_columns(table, options)
    for name in labels:
        texts(uri, table, name)
    values = texts(uri, table, column)
    if options.match not in ("path", "name"):
        values = [value.strip() for value in values]  # as those of headers are
    check_filled(uri, column, values)
    found = matching.matched(uri, values, root, options)
    columns = particulars.columns_of(table.column_names, options)
    own, odd = particulars.read(uri, table, columns, [group[0] for group in found.rows])
    found, left = _of_views(uri, found, own.get("view"), options)
    rows = Rows(uri, table, found.rows, labels, {column, *columns.values()}, own)
    films = found.originals if found.waiting is None else found.waiting
    whose, unknown = _patients(rows, found, films, options)
    items, said = items_of(rows, found.originals, whose[0], options)
    awaiting = None
    if found.waiting is not None:
        awaiting = Awaiting(options.match, {item.sample_id: item for item in items})
        items = tuple(
            SourceItem(sample_id=film.sample_id, uri=film.uri, labels=(), patient_id=patient)
            for film, patient in zip(films, whose[1], strict=True)
        )
    findings = (*unknown, *said.findings, *left, *odd, *found.findings)
    recipe = film_recipe(options)
    return Source(uri, items, options.task, said.classes, recipe, findings, found.ignored, awaiting)


def films_of(uri: str, options: SourceOptions) -> list[Original]:
    """Every film of a table, without labels."""
    table = read_table(uri, [options.path_column])
    values = texts(uri, table, options.path_column)
    check_filled(uri, options.path_column, values)
    return matching.paths(uri, values, options)


def _path_column(table: Any, options: PackOptions) -> str:
    """The column that names films; the keyword's own where no other is named, nor there."""
    default = PackOptions.model_fields["path_column"].default
    if options.match in ("path", "name") or default in table.column_names:
        return options.path_column
    if options.path_column == default:
        return options.match
    return options.path_column


def _label_columns(table: Any, options: PackOptions) -> list[str]:
    """The columns of labels: those that are named, else those that `pack.classes` joins."""
    if options.label_columns:
        return list(options.label_columns)
    if options.label_column is None and options.label_separator is None and (
        options.task == "multilabel"
    ):  # fmt: skip
        joined = {plain(word) for words in options.classes.values() for word in words}
        if found := [name for name in table.column_names if plain(name) in joined]:
            return found
    return [options.label_column or "label"]


def _patients(
    rows: Rows, found: Matched, films: Sequence[Original], options: PackOptions
) -> tuple[tuple[list[str | None], list[str | None]], tuple[Finding, ...]]:
    """Whose the originals of the rows are, and whose the films are."""
    names = [film.sample_id for film in films]
    nobody: list[str | None] = [None] * len(found.originals)
    column = options.patient_column
    if column not in (None, "none"):
        said = list(patients_of(rows, found.originals, column))
        return (list(said), [None] * len(names)), ()
    if column == "none":
        message = "pack.patient_column=none: each row is its own patient"
        return _either(found, nobody, list(names)), patients_unknown(message)
    if options.patient_pattern is None and found.waiting is None:
        other = next((name for name in names if not is_dicom(name)), None)
        if other is not None:
            raise UserError(
                f"{rows.uri}: a table names its patients: pack.patient_column=COLUMN, or "
                "pack.patient_pattern=REGEX on the paths, or pack.patient_column=none if each "
                f"film is its own patient; {one_line(other)} is no DICOM file that says whose it is"
            )
    own = patients.of_films(rows.uri, names, options.patient_pattern)
    return _either(found, nobody, own), ()


def _either(
    found: Matched, nobody: list[str | None], own: list[str | None]
) -> tuple[list[str | None], list[str | None]]:
    """The patients of films; also of the originals of rows, where these are the films."""
    return (own, own) if found.waiting is None else (nobody, own)


def _of_views(
    uri: str, found: Matched, views: Sequence[Any] | None, options: PackOptions
) -> tuple[Matched, tuple[Finding, ...]]:
    """The films of a view that is kept; of those that wait for headers it is not known yet."""
    if not options.views or views is None or found.waiting is not None:
        return found, ()
    own = [views[group[0]] for group in found.rows]
    kept = [i for i, view in enumerate(own) if wanted(view, options.views)]
    left = Counter(view for view in own if not wanted(view, options.views))
    if not kept:
        told = one_line(", ".join(left))
        raise UserError(f"{uri}: no film is of pack.views; its views are {told}")
    smaller = replace(
        found,
        originals=tuple(found.originals[i] for i in kept),
        rows=tuple(found.rows[i] for i in kept),
    )
    return smaller, tuple(_views_left_out(left))


def _views_left_out(left: Counter[str]) -> Iterator[Finding]:
    if left:
        told = ", ".join(f"{view} {count}" for view, count in left.most_common())
        message = f"{sum(left.values())} films of other views than pack.views are left out: {told}"
        yield Finding(kind="views_left_out", message=one_line(message))

"""How published datasets are laid out: a YAML document each, which is data and no code.

`pack/layouts/*.yaml` come with the package; a place of one's own is read in the same way.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from rayograph import storage
from rayograph.config import PackOptions, documents
from rayograph.config.nearest import nearest
from rayograph.errors import UserError, one_line
from rayograph.pack.sources import shaping
from rayograph.pack.sources.reading import read_table

SHIPPED = Path(__file__).parents[1] / "layouts"
APART = (  # options of which one that a user gives puts the layout's others out of use
    {"patient_column", "patient_pattern"},
    {"label_column", "label_columns"},
    {"label_columns", "label_separator"},
)


class Join(BaseModel, frozen=True, extra="forbid"):
    """A second table, whose row of the same values in the columns `on` is added to each row."""

    file: str
    on: tuple[str, ...]


class Form(BaseModel, frozen=True, extra="forbid"):
    """One form in which a dataset is found, and what its table's columns mean.

    `file` is its table, or `stack` several by the part of their films; neither of class folders.
    What is done to the table, in this order: `join`, `rename`, `drop`, `fill` (a new column: the
    first of some that says something), `strip` (a prefix of paths, where `*` is anything but `/`),
    and `path` (a new column `path`: a template of columns). Then `columns` names, for an option
    `pack.KEY_column`, the columns that it may be, of which the first is taken that is there, and
    `labels_but` the columns that are no labels where all others are.
    """

    file: str | None = None
    stack: dict[str, str] = Field({})
    join: tuple[Join, ...] = ()
    rename: dict[str, str] = Field({})
    drop: tuple[str, ...] = ()
    fill: dict[str, tuple[str, ...]] = Field({})
    strip: str | None = None
    path: str | None = None
    columns: dict[str, tuple[str, ...]] = Field({})
    labels_but: tuple[str, ...] = ()
    test_list: str | None = None  # used if it is there
    options: dict[str, Any] = Field({})

    @property
    def files(self) -> tuple[str, ...]:
        """The tables that must be there; of stacked ones the first."""
        first = [self.file] if self.file else list(self.stack.values())[:1]
        return (*first, *(each.file for each in self.join))


class Layout(BaseModel, frozen=True, extra="forbid"):
    """The forms of a dataset, of which the first is taken that is there, and options for all."""

    forms: tuple[Form, ...]
    options: dict[str, Any] = Field({})


class Laid(NamedTuple):
    """What a layout finds below SOURCE: a table and its place, or None of class folders."""

    options: PackOptions
    uri: str
    table: Any | None


def laid_out(uri: str, options: PackOptions) -> Laid:
    """A source as its layout has it; what a user says of `pack.*` goes before the layout's own.

    Raises `UserError` where there is no such layout, it is none, or no form of it is there.
    """
    name = str(options.layout)
    if options.table is not None:
        raise UserError(f"pack.layout={name}: knows its tables; leave out pack.table")
    layout = _read(name)
    for form in layout.forms:
        places = [_place(uri, file) for file in form.files]
        if None in places:
            continue
        place, table = uri, None
        if form.files:
            place, table = str(places[0]), _table(uri, form)
        return Laid(_options(uri, name, layout, form, table, options), place, table)
    wanted = ", or ".join(" with ".join(form.files) for form in layout.forms)
    raise UserError(f"{uri}: pack.layout={name} looks for {wanted} there; is it another folder?")


def _read(name: str) -> Layout:
    place = name
    if re.fullmatch(r"[a-z0-9_-]+", name):
        shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
        if name not in shipped:
            hint = nearest(name, list(shipped)) or f"; there are {', '.join(shipped)}"
            raise UserError(f"pack.layout={name}: no such layout{hint}; or give a path or URI")
        place = str(shipped[name])
    try:
        return Layout.model_validate(documents.read(place))
    except ValidationError as error:
        raise UserError(f"pack.layout={name}: not a layout: {one_line(error)}") from None


def _place(uri: str, file: str) -> str | None:
    """Where a table is, as it is or gzipped; None where it is not."""
    places = (storage.join(uri, file), storage.join(uri, f"{file}.gz"))
    return next((place for place in places if storage.exists(place)), None)


def _table(uri: str, form: Form) -> Any:
    parts = form.stack or {"": str(form.file)}
    tables = {}
    for part, file in parts.items():
        if (place := _place(uri, file)) is not None:
            tables[part] = shaping.renamed(place, read_table(place, []), form.rename)
    table = shaping.stacked(uri, tables)
    for join in form.join:
        place = str(_place(uri, join.file))
        table = shaping.joined(uri, table, place, read_table(place, list(join.on)), join.on)
    table = table.drop_columns([name for name in form.drop if name in table.column_names])
    for name, columns in form.fill.items():
        table = shaping.filled(uri, table, name, columns)
    column = _first(form.columns.get("path", ("path",)), table)
    if form.strip is not None and column is not None:
        table = shaping.stripped(uri, table, column, form.strip)
    if form.path is not None:
        table = shaping.with_column(table, "path", shaping.paths(uri, table, form.path))
    return table


def _options(
    uri: str, name: str, layout: Layout, form: Form, table: Any, options: PackOptions
) -> PackOptions:
    own: dict[str, Any] = {**layout.options, **form.options}
    if table is not None:
        own.setdefault("root", uri)
        for key, columns in form.columns.items():
            if (column := _first(columns, table)) is not None:
                own[f"{key}_column"] = column
        if form.labels_but:
            own["label_columns"] = [n for n in table.column_names if n not in form.labels_but]
    if form.test_list and (place := _place(uri, form.test_list)):
        own["test_list"] = place
    given = {key: getattr(options, key) for key in options.model_fields_set}
    for group in APART:
        if group & given.keys():
            own = {key: value for key, value in own.items() if key not in group}
    try:
        return PackOptions.model_validate(own | given)
    except ValidationError as error:
        raise UserError(f"pack.layout={name}: {one_line(error)}") from None


def _first(names: Sequence[str], table: Any) -> str | None:
    return next((name for name in names if name in table.column_names), None)

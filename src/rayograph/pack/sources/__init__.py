"""What there is to pack or to predict: originals listed, a file for each kind of source."""

from dataclasses import replace

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data.recipe import Recipe, TableRecipe
from rayograph.errors import UserError
from rayograph.pack.decode import SUFFIXES
from rayograph.pack.sources import listed, records
from rayograph.pack.sources.arrays import is_arrays, open_arrays, pictures_of
from rayograph.pack.sources.base import Original, Source, SourceItem, files_below
from rayograph.pack.sources.films import films_in, films_of, open_films
from rayograph.pack.sources.folders import open_folders
from rayograph.pack.sources.layouts import laid_out
from rayograph.pack.sources.reading import is_table
from rayograph.pack.sources.table import open_records

__all__ = ["Original", "Source", "SourceItem", "open_source", "unlabelled"]


def open_source(uri: str, options: PackOptions) -> Source:
    """List what a source names: class folders, a table, films beside a table, a published layout,
    or an `.npz` of arrays; `options` of the source are those that it is to be packed with.

    Raises `UserError` where no sample is found, a column is missing, or a label is empty.
    """
    uri = storage.absolute(uri)
    source = _opened(uri, options)
    if source.options.test_list is not None:
        source = listed.tested(source, source.options.test_list)
    for items in (source.items, source.labelled):
        if options.split == "source" and len({item.split is None for item in items}) > 1:
            raise UserError(f"{uri}: some films have a split and some have none; give all or none")
    return source


def _opened(uri: str, options: PackOptions) -> Source:
    if options.inputs == "table":
        if options.table or options.layout:
            raise UserError("pack.table and pack.layout: are of films, not of pack.inputs=table")
        _check_table(uri)
        return replace(open_records(uri, options), options=options)
    if options.layout is not None:
        options, place, table = laid_out(uri, options)
        source = (
            open_folders(uri, options)
            if table is None
            else films_in(place, table, options.root or uri, options)
        )
        return replace(source, options=options)
    source = _as_it_is(uri, options)
    return replace(source, options=options.model_copy(update={"task": source.task}))


def _as_it_is(uri: str, options: PackOptions) -> Source:
    if options.table is not None and (is_table(uri) or is_arrays(uri)):
        raise UserError(f"{uri}: pack.table={options.table} is for films below a folder")
    if is_arrays(uri):
        return open_arrays(uri, options)
    if is_table(uri) or options.table is not None:
        return open_films(uri, options)
    if options.match != "path":
        raise UserError(f"{uri}: pack.match={options.match} needs a table: pack.table=URI")
    return open_folders(uri, options)


def unlabelled(uri: str, recipe: Recipe, options: SourceOptions) -> list[Original]:
    """What there is to predict: a film, all of a folder, table or `.npz`; or a table's records."""
    uri = storage.absolute(uri)
    if isinstance(recipe, TableRecipe):
        _check_table(uri)
        return records.rows_of(uri, recipe, options)
    if uri.lower().endswith(SUFFIXES) and storage.exists(uri):
        place, name = storage.readable(uri)
        return [Original(sample_id=name.rpartition("/")[2], uri=place)]
    if is_arrays(uri):
        return pictures_of(uri)
    if is_table(uri):
        return films_of(uri, options)
    found = files_below(uri, options.exclude).films
    return [Original(sample_id=name, uri=place) for name, place in found.items()]


def _check_table(uri: str) -> None:
    if not is_table(uri):
        raise UserError(f"{uri}: records come in a table: .csv, .tsv, .txt (also .gz) or .parquet")

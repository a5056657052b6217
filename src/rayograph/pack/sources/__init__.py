"""What there is to pack or to predict: originals listed, a file for each kind of source."""

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.errors import UserError
from rayograph.pack.decode import SUFFIXES
from rayograph.pack.sources.base import Source, SourceItem, files_below
from rayograph.pack.sources.folders import open_folders
from rayograph.pack.sources.reading import is_table
from rayograph.pack.sources.table import open_table, paths_of

__all__ = ["Source", "SourceItem", "open_source", "unlabelled"]


def open_source(uri: str, options: PackOptions) -> Source:
    """List a folder of class folders, or a table.

    Raises `UserError` where no film is found, a column is missing, or a label is empty.
    """
    uri = storage.absolute(uri)
    source = open_table(uri, options) if is_table(uri) else open_folders(uri, options)
    if options.split == "source" and len({item.split is None for item in source.items}) > 1:
        raise UserError(f"{uri}: some films have a split and some have none; give all or none")
    return source


def unlabelled(uri: str, options: SourceOptions) -> list[tuple[str, str]]:
    """Films to predict, as pairs of name and URI: one, all below a folder, or a table's paths."""
    uri = storage.absolute(uri)
    if uri.lower().endswith(SUFFIXES) and storage.exists(uri):
        place, name = storage.readable(uri)
        return [(name.rpartition("/")[2], place)]
    if is_table(uri):
        return paths_of(uri, options)
    return list(files_below(uri, options.exclude).films.items())

"""Which film a row of a table is about, by what its path column says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rayograph import storage
from rayograph.config import PackOptions, SourceOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.sources.base import Original, files_below
from rayograph.pack.sources.naming import Naming

NAMED = 20  # films that a finding names


@dataclass(frozen=True)
class Matched:
    """What the rows of a table are about, and the rows of each.

    Where the rows wait for what headers say, `originals` are the values of the keyword, and
    `waiting` the films.
    """

    originals: tuple[Original, ...]
    rows: tuple[list[int], ...]
    findings: tuple[Finding, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    waiting: tuple[Original, ...] | None = None


def matched(uri: str, values: Sequence[str], root: str, options: PackOptions) -> Matched:
    """The films that a table names in the way that `pack.match` says, in the table's order."""
    if options.match == "name":
        return _by_name(uri, values, root, options)
    if options.match == "path":
        rows = _grouped(uri, values, options)
        films = tuple(Original(sample_id=p, uri=place(p, root)) for p in rows)
        return Matched(films, tuple(rows.values()))
    rows = _grouped(uri, [value.strip() for value in values], options)
    found = files_below(root, options.exclude, bare=True)
    waiting = tuple(Original(sample_id=name, uri=uri) for name, uri in found.films.items())
    said = tuple(Original(sample_id=value, uri=f"{uri}#{value}") for value in rows)
    return Matched(said, tuple(rows.values()), found.findings, found.ignored, waiting)


def paths(uri: str, values: Sequence[str], options: SourceOptions) -> list[Original]:
    """Every film of a table of paths, each of which has one row."""
    root = storage.absolute(options.root) if options.root else storage.parent(uri)
    rows = _grouped(uri, values, options)
    return [Original(sample_id=path, uri=place(path, root)) for path in rows]


def place(path: str, root: str) -> str:
    """Where a film of a table is: below a folder, unless it says otherwise."""
    if path.startswith("/") or storage.like_uri(path):
        return storage.absolute(path)
    windows = "\\" in path and "/" not in path
    return storage.below(root, path.replace("\\", "/") if windows else path)


def _grouped(uri: str, values: Sequence[str], options: SourceOptions) -> dict[str, list[int]]:
    """The rows of each film; `UserError` where one has several and no option says what they are."""
    rows: dict[str, list[int]] = {}
    for i, value in enumerate(values):
        rows.setdefault(value, []).append(i)
    name, most = max(rows.items(), key=lambda item: len(item[1]))
    if len(most) > 1 and not (isinstance(options, PackOptions) and options.several_rows):
        raise UserError(
            f"{uri}: {one_line(name)} appears in {len(most)} rows; a film has one, or "
            "pack.several_rows says what they are"
        )
    return rows


def _by_name(uri: str, values: Sequence[str], root: str, options: PackOptions) -> Matched:
    found = files_below(root, options.exclude, bare=True)
    naming = Naming(found.films)
    films: list[str] = []
    rows: list[int] = []
    without: list[str] = []
    for i, value in enumerate(values):
        own = naming.find(value)
        if len(own) > 1:
            raise UserError(
                f"{uri}: {one_line(value)} of row {i + 1} is two films: {one_line(own[0])} and "
                f"{one_line(own[1])}; match them by path, or leave one out by pack.exclude"
            )
        films += own
        rows += [i] * len(own)
        without += [] if own else [value]
    if not films:
        raise UserError(
            f"{uri}: no row names a film below {root}; a row says {one_line(without[0])}, a film "
            f"is {one_line(next(iter(found.films)))}"
        )
    grouped = _grouped(uri, films, options)
    originals = tuple(Original(sample_id=name, uri=found.films[name]) for name in grouped)
    groups = tuple([rows[i] for i in group] for group in grouped.values())
    missing = [name for name in found.films if name not in grouped]
    findings = (*_unmatched(without, missing, root), *found.findings)
    return Matched(originals, groups, findings, found.ignored)


def _unmatched(rows: list[str], films: list[str], root: str) -> Iterator[Finding]:
    if rows:
        message = f"{len(rows)} rows have no film below {root}, the first is {rows[0]}"
        told = tuple(rows[:NAMED])
        yield Finding(kind="rows_without_films", message=one_line(message), films=told)
    if films:
        message = f"{len(films)} films are in no row of the table, the first is {films[0]}"
        told = tuple(films[:NAMED])
        yield Finding(kind="films_without_rows", message=one_line(message), films=told)

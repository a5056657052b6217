"""`pack` and `inspect`."""

import json
from typing import Annotated

import typer

from rayograph import storage
from rayograph.config import PackConfig
from rayograph.console import tables
from rayograph.console.arguments import Json, Overrides
from rayograph.console.output import result, say, with_progress
from rayograph.console.words import meaning


def pack(
    source: Annotated[str, typer.Argument(help="class folders, a table, films, or an .npz")],
    dest: Annotated[str, typer.Argument(help="where the packed dataset goes")],
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option(help="replace a dataset that is there")] = False,
) -> None:
    """Pack films, or records of a table, into shards that training can stream."""
    from rayograph.pack import packing
    from rayograph.pack.sources import open_source

    options = PackConfig.load(None, overrides or []).pack
    packing.check(dest, overwrite)
    films = open_source(source, options)
    from rayograph.cluster import session

    with storage.held(dest, "dataset"), session.connected(1):
        mapper = with_progress(session.parallel_map)
        manifest = packing.pack(films, dest, films.options, mapper, overwrite)
    counts = ", ".join(f"{name} {part.rows}" for name, part in manifest.parts.items())
    say.print(f"packed {counts} {manifest.inputs.noun} into {storage.absolute(dest)}")
    if set(manifest.parts) == {"test"}:
        say.print(f"classes: {', '.join(manifest.classes)}; the model says which one is negative")
    else:
        say.print(meaning(manifest.task, manifest.classes))
    for finding in manifest.findings:
        say.print(f"finding: {finding.message}")


def inspect(
    dataset: str,
    verify: Annotated[bool, typer.Option(help="read every shard and check its sha256")] = False,
    as_json: Json = False,
) -> None:
    """Say what is in a packed dataset: counts, patients, sizes, prevalence, findings."""
    from rayograph.data import inspection
    from rayograph.data.dataset import Dataset

    opened = Dataset.open(dataset)
    if verify:
        inspection.verify(opened)
    found = inspection.summary(opened)
    result(json.dumps(found.to_json()) if as_json else tables.dataset(found))
    if verify:
        say.print("every shard's sha256 is as packed")

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
from rayograph.errors import UserError


def pack(
    source: Annotated[str, typer.Argument(help="class folders, a table, films, or an .npz")],
    dest: Annotated[str, typer.Argument(help="where the packed dataset goes")],
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option(help="replace a dataset that is there")] = False,
    append: Annotated[bool, typer.Option(help="add what a dataset that is there lacks")] = False,
) -> None:
    """Pack films, or records of a table, into shards that training can stream."""
    from rayograph.data.dataset import Dataset
    from rayograph.pack import appending, checks, packing
    from rayograph.pack.sources import open_source

    options = PackConfig.load(None, overrides or []).pack
    if append and overwrite:
        raise UserError("--append keeps the dataset that --overwrite replaces; give one of them")
    if append:
        Dataset.open(dest)
    else:
        checks.vacant(dest, overwrite)
    films = open_source(source, options)
    from rayograph.cluster import session

    with storage.held(dest, "dataset"), session.connected(1):
        mapper = with_progress(session.parallel_map)
        if append:
            manifest = appending.append(films, dest, mapper, say.print)
        else:
            manifest = packing.pack(films, dest, mapper, overwrite, say.print)
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
    picture: Annotated[
        str | None, typer.Option(help="where a picture of it goes, such as dataset.png")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is in a packed dataset: counts, patients, sizes, prevalence, findings."""
    from rayograph.data import inspection
    from rayograph.data.dataset import Dataset

    opened = Dataset.open(dataset)
    if verify:
        inspection.verify(opened)
    found = inspection.summary(opened)
    if picture is not None:
        from rayograph.report import dataset as pictures

        storage.write(storage.absolute(picture), pictures.picture(found))
        say.print(f"picture: {storage.absolute(picture)}")
    result(json.dumps(found.to_json()) if as_json else tables.dataset(found))
    if verify:
        say.print("every shard's sha256 is as packed")

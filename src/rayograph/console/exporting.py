"""`export`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rayograph import storage
from rayograph.console import words
from rayograph.console.arguments import Json
from rayograph.console.judging import model_of
from rayograph.console.output import result

if TYPE_CHECKING:
    from rayograph.evaluate.export import Export


def export(
    model: Annotated[str, typer.Argument(help="a model file, its folder, or a run")],
    out: Annotated[str, typer.Argument(help="a file that ends in .pt2 or .onnx")],
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="torch|onnx", help="needed where OUT's name says neither"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="the packed dataset to try it on; else the model's own")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model as one file that runs without rayograph, and try it on 32 samples.

    Inside are all that follows packing (resizing to the model's size, normalising, missing values),
    the network, and the probabilities. Packing itself, from an original to an array, is not.
    """
    from rayograph.evaluate import graphs
    from rayograph.evaluate.export import export as write

    chosen = graphs.chosen(out, kind)
    place = model_of(model)
    storage.exists(out)  # a bucket that is not there is told now, not after the work
    found = write(place, out, chosen, data)
    result(json.dumps(found.to_json()) if as_json else told(found, chosen.title))


def told(found: "Export", title: str) -> str:
    """What was written, and how far it is from the model."""
    return (
        f"{found.out}: {title}, {words.size(found.bytes)}\n"
        f"tried on {found.origin}: its probabilities differ from the model's by at most "
        f"{found.difference:.1e}\n"
        f"its weights, for rayograph: {found.weights}"
    )

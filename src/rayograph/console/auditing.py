"""`audit`: whether a model may have learned a shortcut, and what it prints."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rayograph.console.arguments import Json
from rayograph.console.judging import target_of
from rayograph.console.layout import WIDTH, grid, lines
from rayograph.console.output import result, say
from rayograph.report import audit as shown


def audit(
    target: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="a run folder or a model of films")
    ],
    data: Annotated[str | None, typer.Option(help="another packed dataset")] = None,
    as_json: Json = False,
) -> None:
    """Look for shortcuts: how well the labels can be told without seeing anatomy.

    From the file's metadata, 8 × 8 thumbnails and the border of the films, fitted on the training
    films; and by the model with the middle of the films masked. All on the test films.
    """
    from rayograph.evaluate.audit import shortcuts
    from rayograph.runs import findings

    run, model = target_of(target)
    found = shortcuts.audit(model, None if run is None else run.uri, data)
    if run is not None and data is None:  # other films say nothing of the run
        findings.save(run.uri, shortcuts.NAME, found)
        say.print(f"kept in the run; `rayograph report {target}` shows it")
    result(json.dumps(found) if as_json else told(found))


def told(found: Mapping[str, Any]) -> str:
    """What was judged on what, a line a baseline, and the verdict."""
    first, *others = shown.HEAD
    table = grid(first, *others)
    for row in shown.rows(found):
        table.add_row(*row)
    return lines(
        [shown.opening(found), table, *shown.notes(found), shown.verdict(found)], WIDTH + 20
    )

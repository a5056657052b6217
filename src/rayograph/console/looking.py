"""`doctor` and `config`."""

import json
from typing import Annotated

import typer

from rayograph.config import RunConfig
from rayograph.console.arguments import Json, Overrides, Preset
from rayograph.console.output import result
from rayograph.errors import Failure


def doctor(
    uri: Annotated[
        str | None, typer.Argument(help="where films and runs are, to be tried from every node")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for what would go wrong: versions, devices, store, clocks, network, resume."""
    from rayograph.cluster import doctor as doctors

    lines = []
    for line in doctors.examine(uri):
        lines.append(line)
        if not as_json:
            result(f"{line.level:<4}  {line.about}: {line.message}")
    worst = doctors.worst(lines)
    if as_json:
        result(json.dumps({"worst": worst, "lines": [vars(line) for line in lines]}))
    if worst == "fail":
        raise Failure("something is wrong; each line that begins with `fail` says what to do")


def config(preset: Preset, overrides: Overrides = None) -> None:
    """The complete resolved config, with each field's meaning and unit."""
    result(RunConfig.load(preset, overrides or []).dump().rstrip())

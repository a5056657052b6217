"""`plan`."""

import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from rayograph import storage
from rayograph.console.output import result, say
from rayograph.errors import UserError

if TYPE_CHECKING:
    from rayograph.advice.case import Asked


def plan(
    dataset: str,
    out: Annotated[
        str | None,
        typer.Option(help="file of the preset, such as films.yaml, in place of printing"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="that will train together")
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=1, max=512, help="of each worker")] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="of each worker; unless said, 1 if there are any"),
    ] = None,
) -> None:
    """Write a preset for a packed dataset, with the reason of each choice and a measured time."""
    from rayograph.advice.case import Asked as Said

    place = None if out is None else storage.absolute(out)
    if place is not None and storage.exists(place):
        raise UserError(f"--out {out}: is there already; give another file, or remove it")
    file = "PRESET.yaml" if place is None else shlex.quote(place)
    found = _preset(dataset, Said(workers, cpus, gpus), file)
    if place is None:
        result(found)
        return
    try:
        data = f"{found}\n".encode()
    except UnicodeEncodeError:
        raise UserError(f"{dataset}: a path that is not UTF-8 stands in no YAML; move it") from None
    storage.write(place, data)
    say.print(f"preset: {place}")
    say.print(f"train it: rayograph train {file} run.storage=RUNS")


def _preset(uri: str, asked: "Asked", file: str) -> str:
    """The preset of a dataset, checked as a run would check it, and its step measured."""
    import torch

    from rayograph.advice import case as cases
    from rayograph.advice import facts, preset, timing
    from rayograph.data.dataset import Dataset
    from rayograph.models import at_hand
    from rayograph.train.checks import check_run
    from rayograph.train.estimate import estimate

    opened = Dataset.open(uri)
    if opened.manifest.folds:
        opened = opened.at_fold(0)
    machine = cases.Machine(len(os.sched_getaffinity(0)), torch.cuda.device_count())
    known = at_hand.imagenet()
    weights = cases.Weights(*known) if known else None
    case = cases.of(facts.of(opened), opened.fold, machine, asked, weights)
    chosen = preset.choices(case)
    config = preset.config(case, chosen)
    check_run(config, opened)
    measured = timing.step(config, opened)
    speed = measured.films_per_s * case.workers if measured else None
    return preset.text(case, chosen, estimate(config, opened, 0, speed), measured, file)

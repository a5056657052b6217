"""`train` and `demo`."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rayograph import storage
from rayograph.config import PackOptions, RunConfig
from rayograph.console import judging, tables
from rayograph.console.arguments import Overrides, Preset
from rayograph.console.epochs import EpochLines
from rayograph.console.output import result, say
from rayograph.console.signals import listening
from rayograph.console.words import meaning
from rayograph.errors import UserError

if TYPE_CHECKING:
    from rayograph.runs.folder import RunFolder


WATCHED = (
    "the test films are judged after every epoch, too: exploratory; nothing is chosen by them, "
    "and each epoch is recorded as a look at them"
)


def demo(
    dir_: Annotated[str, typer.Argument(metavar="[DIR]")] = "demo",
    records: Annotated[
        bool, typer.Option("--records", help="health records, as a table, instead of films")
    ] = False,
) -> None:
    """Phantom films → pack → train on 2 workers → evaluate → report, without a network."""
    if not storage.is_local(storage.absolute(dir_)):
        raise UserError(f"{dir_}: the demo is made on this machine's disk; give a folder")
    folder = Path(storage.absolute(dir_))
    preset, words = "demo", [f"run.storage={folder}"]
    if records:
        preset = "records"
        words.append(f"data.uri={folder / 'records-packed'}")
    settings = RunConfig.load(preset, words)
    run = folder / settings.run.name
    if (run / "config.yaml").exists():
        kept = RunConfig.load(str(run / "config.yaml"))
        if kept != settings.in_precision(kept.train.precision):  # which that run has settled
            raise UserError(f"{run}: not the demo's run; give another DIR")
        with storage.held(str(run), "run"):
            shutil.rmtree(run)
    if records:
        _make_records(folder)
    else:
        say.print(f"{settings.phantom.films} phantom films are made and packed in {folder}")
    train(preset, words)
    judging.evaluate(str(run))
    judging.report(str(run))


def _make_records(folder: Path) -> None:
    """A table of a motion sensor's windows, and the same packed, without Ray."""
    from rayograph.pack import phantom_records
    from rayograph.pack.mapper import one_by_one
    from rayograph.pack.packing import pack
    from rayograph.pack.sources import open_source

    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "records.csv"
    phantom_records.write(table, people=120, seed=0)
    options = PackOptions(
        inputs="table", patient_column="person", negative="rest", exclude=("strenuous",)
    )
    place = str(folder / "records-packed")
    pack(open_source(str(table), options), place, one_by_one, overwrite=True)
    say.print(f"records of 120 people are in {table}, and packed in {place}")


def train(
    preset: Preset,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="check all, and print what it would need")
    ] = False,
    films_per_second: Annotated[
        float | None, typer.Option(min=0.001, help="of all workers, for --dry-run's time")
    ] = None,
    price_per_worker_hour: Annotated[
        float | None, typer.Option(min=0, help="for --dry-run's price")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="--dry-run as JSON")] = False,
) -> None:
    """Train a preset: with Ray Train, or under torchrun in the processes that it started."""
    from rayograph.train import places

    config = RunConfig.load(preset, overrides or [])
    torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if dry_run or not torchrun:  # of several processes the first one asks
        places.check(config)
    if dry_run:
        result(_needs(config, films_per_second, price_per_worker_hour, as_json))
        return
    lines = EpochLines(say, config.train.epochs, config.train.select)
    if torchrun:
        from rayograph.train import local

        if config.train.watch and os.environ.get("RANK") == "0":
            say.print(WATCHED)
        folder = local.run(config, lines.show, listening)
        if os.environ.get("RANK") != "0":
            return
    else:
        try:
            folder = _train_on_ray(config, lines)
        except KeyboardInterrupt:
            say.print("run the same command again to continue from the last checkpoint")
            raise
    say.print(f"best model: {folder.best_model}")


def _train_on_ray(config: RunConfig, lines: EpochLines) -> "RunFolder":
    from rayograph.cluster import launch, session

    with launch.prepared(config) as (folder, dataset):
        say.print(meaning(dataset.manifest.task, dataset.manifest.classes))
        if config.train.watch:
            say.print(WATCHED)
        with session.connected(config.cluster.most * config.cluster.cpus_per_worker):
            if missing := launch.missing(config.cluster):
                say.print(missing)
            launch.fit(config, folder, dataset, lines.show, listening)
    return folder


def _needs(config: RunConfig, films_per_s: float | None, price: float | None, as_json: bool) -> str:
    """What a run would need; nothing is written."""
    from rayograph.pack import prepare
    from rayograph.runs.folder import RunFolder
    from rayograph.train.checks import check_run
    from rayograph.train.estimate import estimate

    if price is not None and films_per_s is None:
        raise UserError("--price-per-worker-hour: needs --films-per-second, or there is no time")
    done = RunFolder.of(config).check(config)
    with tempfile.TemporaryDirectory() as scratch:  # for phantoms, which a run would make and keep
        run = config.run.model_copy(update={"storage": scratch})
        dataset = prepare.dataset(config.model_copy(update={"run": run}))
        check_run(config, dataset)
        found = estimate(config, dataset, done, films_per_s, price)
    if as_json:
        return json.dumps(found.to_json())
    return tables.needs(found, config.cluster.most, billed=not storage.is_local(config.data.uri))

"""The commands. Each checks, acts, and prints its result; work is done in the rooms.

A command keeps the real standard output for its result and points descriptor 1 at 2, because Ray's
processes print to the driver's standard output.
"""

import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from rayograph import storage, tables
from rayograph.config import PackConfig, PackOptions, RunConfig, SweepConfig
from rayograph.errors import Failure, UserError

if TYPE_CHECKING:
    from rayograph.train.folder import RunFolder

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_result = sys.stdout
_terminated = False
say = Console(stderr=True, highlight=False, soft_wrap=True)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="options, by dotted key")
]
Preset = Annotated[str, typer.Argument(help="a preset's path, URI, or name (demo, pneumonia, …)")]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON, and nothing else")]


@app.command()
def demo(folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path("demo")) -> None:
    """Phantom films → pack → train on 2 workers → evaluate → report, without a network."""
    settings = RunConfig.load("demo", [f"run.storage={folder}"])
    run = folder / settings.run.name
    if (run / "config.yaml").exists():
        if RunConfig.load(str(run / "config.yaml")) != settings:
            raise UserError(f"{run}: a run that is no demo; give another DIR")
        shutil.rmtree(run)
    say.print(f"{settings.phantom.films} phantom films are made and packed below {folder}")
    train("demo", [f"run.storage={folder}"])
    evaluate(str(run))
    report(str(run))


@app.command()
def pack(
    source: Annotated[str, typer.Argument(help="class folders, or a CSV or Parquet table")],
    dest: Annotated[str, typer.Argument(help="where the packed dataset goes")],
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option(help="replace a dataset that is there")] = False,
) -> None:
    """Pack films into shards that training can stream."""
    from rayograph.data import pack as packing
    from rayograph.data.source import open_source

    options = PackConfig.load(None, overrides or []).pack
    packing.check(dest, overwrite)
    films = open_source(source, options)
    from rayograph.cluster import session

    with session.connected(1):
        manifest = packing.pack(films, dest, options, session.run, overwrite)
    counts = ", ".join(f"{name} {part.rows}" for name, part in manifest.splits.items())
    say.print(f"packed {counts} films into {storage.absolute(dest)}")
    for finding in manifest.findings:
        say.print(f"finding: {finding.message}", soft_wrap=True)


@app.command()
def inspect(
    dataset: str,
    verify: Annotated[bool, typer.Option(help="read every shard and check its sha256")] = False,
    as_json: Json = False,
) -> None:
    """What is in a packed dataset: counts, patients, sizes, prevalence, findings."""
    from rayograph.data import inspection
    from rayograph.data.dataset import Dataset

    opened = Dataset.open(dataset)
    if verify:
        inspection.verify(opened)
    found = inspection.summary(opened)
    _print(json.dumps(found) if as_json else tables.dataset(found))
    if verify:
        say.print("every shard's sha256 is as packed")


@app.command()
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
    from rayograph.train.lines import Lines

    config = RunConfig.load(preset, overrides or [])
    if dry_run:
        _print(_estimate(config, films_per_second, price_per_worker_hour, as_json))
        return
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from rayograph.train import local

        folder = local.run(config, Lines(say, config.train.epochs).show)
        if os.environ.get("RANK") != "0":
            return
    else:
        from rayograph.cluster import launch, session

        folder, dataset = launch.prepare_run(config)
        try:
            with session.connected(config.cluster.most * config.cluster.cpus_per_worker):
                if missing := launch.missing(config.cluster):
                    say.print(missing)
                launch.fit(config, folder, dataset, Lines(say, config.train.epochs).show)
        except KeyboardInterrupt:
            say.print("the same command goes on from the last checkpoint")
            raise
    say.print(f"best model: {folder.best_model}", soft_wrap=True)


@app.command()
def sweep(
    preset: Preset,
    space: Annotated[str, typer.Argument(help="a space's path, URI, or name (paper, asha, …)")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Search hyperparameters over a preset; publish the best model and a page.

    The same command again goes on: what has ended is not repeated.
    """
    from rayograph import pages
    from rayograph.search import space as spaces
    from rayograph.search import sweep as sweeping
    from rayograph.search import watch

    wanted, given = spaces.read(space), overrides or []
    sweeping.clash(wanted, given)
    config = SweepConfig.load(preset, [*wanted.overrides, *given])
    found = sweeping.run(config, wanted, [preset, *given], say)
    storage.write(found.folder.page, pages.sweep(found, config, wanted).encode())
    told = found.to_json(config.train.select)
    table = watch.table(found.ledger.ranked(), config.train.select, config.cluster.most)
    _print(json.dumps(told) if as_json else tables.sweep(table, told))
    if found.unfinished:
        say.print(f"{found.unfinished} trials are not finished; the same command goes on from here")
    if found.signal is not None:
        _stopped(found.signal)
    if found.winner is None:
        raise Failure(f"{found.folder.uri}: no trial has a checkpoint; the table says why")


@app.command()
def evaluate(
    target: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="a run folder, or a model")],
    data: Annotated[str | None, typer.Option(help="another packed dataset")] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    all_checkpoints: Annotated[
        bool, typer.Option("--all-checkpoints", help="each checkpoint, too: exploratory")
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge a model on a split, with 95 % intervals."""
    from rayograph.evaluate import evaluation as judging
    from rayograph.evaluate import results

    run, model = _target(target)
    if all_checkpoints and run is None:
        raise UserError(f"{target}: --all-checkpoints needs a run folder, not a model")
    if all_checkpoints and run is not None and not run.checkpoints():
        raise UserError(f"{target}: --all-checkpoints: no checkpoint but the best is kept here")
    found = judging.evaluate(model, data, split)
    if run is not None and all_checkpoints:
        found = replace(found, checkpoints=judging.each(run.checkpoints(), data, split))
    if run is not None and found.fingerprint == found.trained_on:  # others say nothing of the run
        results.save(found, run.uri)
    _print(json.dumps(found.to_json()) if as_json else tables.evaluation(found.to_json()))


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="a model file, its folder, or a run")],
    source: Annotated[str, typer.Argument(help="a film, a folder of films, or a table of paths")],
    out: Annotated[str, typer.Argument(help="a Parquet file")],
    as_json: Json = False,
) -> None:
    """Predict new films; count positives and negatives."""
    import pyarrow.parquet as pq

    from rayograph.cluster import session
    from rayograph.data import source as sources
    from rayograph.evaluate import films

    _, place = _target(model)
    storage.exists(out)  # a bucket that is not there is told now, not after the films
    listed = sources.unlabelled(source, PackOptions())
    with session.connected(1):
        table = films.predict(place, listed, session.run)
    data = io.BytesIO()
    pq.write_table(table, data)
    storage.write(out, data.getvalue())
    counts = films.counts(table)
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    _print(json.dumps(counts) if as_json else f"{text}; written to {storage.absolute(out)}")


@app.command()
def report(run: str) -> None:
    """Make a run's report.html: one self-contained page."""
    from rayograph import pages

    folder = _target(run)[0]
    if folder is None:
        raise UserError(f"{run}: a model, not a run folder; a report needs a run's history")
    place = storage.join(folder.uri, "report.html")
    storage.write(place, pages.run(folder).encode())
    _print(f"report: {place}")


@app.command()
def doctor(
    uri: Annotated[
        str | None, typer.Argument(help="where films and runs lie, to be tried from every node")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for what would go wrong: versions, devices, store, clocks, network, resume."""
    from rayograph.cluster import doctor as doctors

    lines = []
    for line in doctors.examine(uri):
        lines.append(line)
        if not as_json:
            _print(f"{line.level:<4}  {line.about}: {line.message}")
    worst = doctors.worst(lines)
    if as_json:
        _print(json.dumps({"worst": worst, "lines": [vars(line) for line in lines]}))
    if worst == "fail":
        raise Failure("something is wrong; each line that begins with `fail` says what to do")


@app.command("config")
def config_command(preset: Preset, overrides: Overrides = None) -> None:
    """The complete resolved config, with each field's meaning and unit."""
    _print(RunConfig.load(preset, overrides or []).dump().rstrip())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status: 0, 1 a failure, 2 a mistake, 130 or 143 stopped."""
    global _result  # noqa: PLW0603
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.stdout.flush()
    _result = os.fdopen(os.dup(1), "w")
    if "--help" not in words:
        os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(words)
        status = 0
    except SystemExit as error:  # typer's own: 2 for unknown words, 130 for Ctrl-C
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status == 130:
            status = _complain(*(("terminated", 143) if _terminated else ("interrupted", 130)))
    except UserError as error:
        status = _complain(str(error), 2)
    except Failure as error:
        status = _complain(str(error), 1)
    _result.close()
    if status in (130, 143):
        sys.stderr.flush()
        os._exit(status)  # what had to be saved is saved: no thread that still waits is waited for
    sys.exit(status)


def _print(text: str) -> None:
    """Print a command's result to the real standard output, see `main`."""
    print(text, file=_result, flush=True)


def _complain(message: str, status: int) -> int:
    print(f"rayograph: {message}", file=sys.stderr)
    return status


def _estimate(
    config: RunConfig, films_per_s: float | None, price: float | None, as_json: bool
) -> str:
    """What a run would need; nothing is written."""
    from rayograph.data import prepare
    from rayograph.models.build import check
    from rayograph.train.estimate import estimate
    from rayograph.train.folder import RunFolder

    if price is not None and films_per_s is None:
        raise UserError("--price-per-worker-hour: needs --films-per-second, or there is no time")
    check(config.model, config.data.image_size)
    done = RunFolder.of(config).check(config)
    with tempfile.TemporaryDirectory() as scratch:  # for phantoms, which a run would make and keep
        run = config.run.model_copy(update={"storage": scratch})
        dataset = prepare.dataset(config.model_copy(update={"run": run}))
        found = {"epochs_done": done, **estimate(config, dataset, films_per_s, price)}
    return json.dumps(found) if as_json else tables.estimate(found, config.cluster.most)


def _stopped(number: int) -> None:
    """End as the signal asks, after what had to be saved has been saved."""
    global _terminated  # noqa: PLW0603
    _terminated = number == signal.SIGTERM
    raise KeyboardInterrupt


def _terminate(_signal: int, _frame: Any) -> None:
    """Stop as Ctrl-C does: Ray's own waiting hears KeyboardInterrupt and SystemExit only."""
    global _terminated  # noqa: PLW0603
    _terminated = True
    raise KeyboardInterrupt


def _target(uri: str) -> "tuple[RunFolder | None, str]":
    """The run and the model that a command was given: a run folder, a model folder or its file."""
    from rayograph.search.ledger import SWEEP
    from rayograph.train.folder import CONFIG, RunFolder
    from rayograph.train.state import MODEL

    uri = storage.absolute(uri)
    if uri.endswith(".safetensors"):
        if not storage.exists(uri):
            raise UserError(f"{uri}: nothing there; check the path")
        return None, uri
    if storage.exists(storage.join(uri, MODEL)):
        run = RunFolder(storage.parent(uri))
        return run if run.best_model == storage.join(uri, MODEL) else None, storage.join(uri, MODEL)
    if storage.exists(storage.join(uri, SWEEP)):
        raise UserError(f"{uri}: a sweep; give its winner, {storage.join(uri, 'best')}")
    if not storage.exists(storage.join(uri, CONFIG)):
        raise UserError(
            f"{uri}: neither a run folder nor a model; give STORAGE/RUN or a model file"
        )
    folder = RunFolder(uri)
    if not storage.exists(folder.best_model):
        raise UserError(f"{uri}: this run has no checkpoint yet")
    return folder, folder.best_model


if __name__ == "__main__":
    main()

"""`evaluate`, `predict` and `report`."""

import io
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayograph import storage
from rayograph.config import PredictConfig
from rayograph.console import gating, tables
from rayograph.console.arguments import Json, Overrides
from rayograph.console.gating import Require
from rayograph.console.output import result, with_progress
from rayograph.errors import UserError
from rayograph.task import column, gate, operating, predictive

if TYPE_CHECKING:
    from rayograph.runs.evaluations import Evaluation
    from rayograph.runs.folder import RunFolder


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL|SWEEP", help="a run folder, a model, or a sweep over folds"
        ),
    ],
    data: Annotated[str | None, typer.Option(help="another packed dataset")] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    all_checkpoints: Annotated[
        bool, typer.Option("--all-checkpoints", help="each checkpoint, too: exploratory")
    ] = False,
    by: Annotated[
        list[str] | None, typer.Option(help="a column of the index to judge parts of the films by")
    ] = None,
    point: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="choose the threshold anew, on the validation films: youden, sensitivity=0.95, "
            "specificity=0.95, or cost=10 (false alarms that a miss is worth)",
        ),
    ] = None,
    prevalence: Annotated[
        list[float] | None,
        typer.Option(
            help="predictive values where this share is positive, as 0.05; again for more"
        ),
    ] = None,
    require: Require = "",
    as_json: Json = False,
) -> None:
    """Judge a model, or the fold models of a sweep together, on a split, with 95 % intervals."""
    from rayograph.evaluate import evaluation as judging
    from rayograph.evaluate import selection
    from rayograph.runs import evaluations
    from rayograph.search.ledger import SWEEP

    asked = gate.parse(require, [*gating.of_metrics({})])
    shares = prevalence or ()
    predictive.check(shares)
    if point is not None:
        operating.rule(point, "--point")
    sweep = storage.absolute(target)
    if storage.exists(storage.join(sweep, SWEEP)):
        from rayograph.search.folds import best_models

        if all_checkpoints:
            raise UserError(f"{target}: --all-checkpoints needs a run folder, not a sweep")
        if point is not None:
            raise UserError(f"{target}: --point needs one model: each fold has validation films")
        found = judging.together(best_models(sweep), sweep, data, split, by or (), shares)
        if found.fingerprint == found.trained_on:  # others say nothing of the sweep
            evaluations.save(found, sweep)
        _tell(found, asked, as_json)
        return
    run, model = _target(target)
    if all_checkpoints and run is None:
        raise UserError(f"{target}: --all-checkpoints needs a run folder, not a model")
    if all_checkpoints and run is not None and not run.checkpoints():
        raise UserError(f"{target}: --all-checkpoints: only the best checkpoint is kept here")
    found = judging.evaluate(model, data, split, by or (), point, shares)
    if run is not None and all_checkpoints:
        metric = column(run.config().train.select).metric.name
        found = selection.with_checkpoints(found, run.checkpoints(), data, split, metric)
    if run is not None and found.fingerprint == found.trained_on:  # others say nothing of the run
        evaluations.save(found, run.uri)
    _tell(found, asked, as_json)


def _tell(found: "Evaluation", asked: Sequence[gate.Condition], as_json: bool) -> None:
    """Print an evaluation; `Missed` where it is not as was required."""
    answers = gate.answers(asked, gating.of_metrics(found.metrics))
    required = {"required": gating.to_json(answers)} if answers else {}
    result(json.dumps(found.to_json() | required) if as_json else tables.evaluation(found))
    gating.hold(answers)


def predict(
    model: Annotated[str, typer.Argument(help="a model file, its folder, or a run")],
    source: Annotated[str, typer.Argument(help="a film, a folder of films, a table, or an .npz")],
    out: Annotated[str, typer.Argument(help="a file that ends in .parquet or .csv")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Predict new films or records; count what they are."""
    from rayograph.cluster import session
    from rayograph.evaluate import prediction
    from rayograph.pack import sources
    from rayograph.runs import card as cards

    options = PredictConfig.load(None, overrides or []).pack
    write = writer(out)
    place = model_of(model)
    storage.exists(out)  # a bucket that is not there is told now, not after the films
    originals = sources.unlabelled(source, cards.read(place).recipe, options)
    with session.connected(1):
        table = prediction.predict(place, originals, with_progress(session.parallel_map))
    data = io.BytesIO()
    write(table, data)
    storage.write(out, data.getvalue())
    counts = prediction.counts(table)
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    result(json.dumps(counts) if as_json else f"{text}; written to {storage.absolute(out)}")


def writer(out: str) -> Callable[[Any, io.BytesIO], None]:
    """What writes a table in the form that the name of its file says."""
    import pyarrow.csv
    import pyarrow.parquet

    kinds = {".parquet": pyarrow.parquet.write_table, ".csv": pyarrow.csv.write_csv}
    for suffix, write in kinds.items():
        if out.lower().endswith(suffix):
            found: Callable[[Any, io.BytesIO], None] = write
            return found
    raise UserError(f"{out}: a file of predictions ends in .parquet or .csv")


def report(run: str) -> None:
    """Make a run's report.html: one self-contained page."""
    from rayograph.report.load import report_of
    from rayograph.report.page import render

    folder = _target(run)[0]
    if folder is None:
        raise UserError(f"{run}: a model, not a run folder; a report needs a run's history")
    place = storage.join(folder.uri, "report.html")
    storage.write(place, render(report_of(folder)).encode())
    result(f"report: {place}")


def model_of(uri: str) -> str:
    """The model file that a command was given: itself, its folder, or its run."""
    return _target(uri)[1]


def _target(uri: str) -> "tuple[RunFolder | None, str]":
    """The run and the model that a command was given: a run folder, a model folder or its file."""
    from rayograph.runs.card import MODEL
    from rayograph.runs.folder import CONFIG, RunFolder
    from rayograph.search.ledger import SWEEP

    uri = storage.absolute(uri)
    if uri.endswith(".safetensors"):
        if not storage.exists(uri):
            raise UserError(f"{uri}: not found; check the path")
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

"""`evaluate` and `report`."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayograph import storage
from rayograph.console import externals, gating, tables
from rayograph.console.arguments import Also, Json
from rayograph.console.gating import Require
from rayograph.console.output import result, say
from rayograph.errors import UserError
from rayograph.task import column, gate, operating, predictive

if TYPE_CHECKING:
    from rayograph.evaluate.inference import Inference
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
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="CLASS=THEIRS",
            help="which of --data's classes is which of the model's: normal=Normal, "
            "pneumonia=[Bacterial,Viral]",
        ),
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
    also: Also = None,
    require: Require = "",
    as_json: Json = False,
) -> None:
    """Judge a model, or several together, on a split, with 95 % intervals."""
    from rayograph.evaluate import evaluation as judging
    from rayograph.evaluate import mapping, selection
    from rayograph.runs import evaluations, looks
    from rayograph.search.ledger import SWEEP

    asked = gate.parse(require, [*gating.of_metrics({})])
    shares = prevalence or ()
    predictive.check(shares)
    if point is not None:
        operating.rule(point, "--point")
    if mapped and data is None:
        raise UserError("--map: the classes of the model's own dataset are known; add --data OTHER")
    how = judging.How(by or (), mapping.parse(mapped or ()), point, shares)
    if also or storage.exists(storage.join(storage.absolute(target), SWEEP)):
        if all_checkpoints:
            raise UserError("--all-checkpoints needs a run folder, not a sweep, and no --with")
        if point is not None:
            raise UserError("--point needs one model: each of several has validation films")
        models = models_of([target, *(also or [])])
        name = " + ".join(storage.absolute(uri) for uri in [target, *(also or [])])
        keeps = None if also else name
        with _workers() as infer:
            how = replace(how, infer=infer)
            found = judging.together(models, name, data, split, how)
            own = partial(judging.together, models, name, None, "test", judging.How(infer=infer))
            if keeps is None:  # the first run's own evaluation stays what it is
                evaluations.look(looks.folder_of(storage.absolute(target)), found)
            else:
                _keep(keeps, found)
            external = _external(keeps, found, models, own)
        _tell(found, external, asked, as_json)
        return
    run, model = target_of(target)
    if all_checkpoints and run is None:
        raise UserError(f"{target}: --all-checkpoints needs a run folder, not a model")
    if all_checkpoints and run is not None and not run.checkpoints():
        raise UserError(f"{target}: --all-checkpoints: only the best checkpoint is kept here")
    folder = None if run is None else run.uri
    with _workers() as infer:
        how = replace(how, infer=infer)
        found = judging.evaluate(model, data, split, how)
        if run is not None and all_checkpoints:
            metric, places = column(run.config().train.select).metric.name, run.checkpoints()
            found = selection.with_checkpoints(found, places, data, split, metric, how)
        _keep(folder, found)
        own = partial(judging.evaluate, model, None, "test", judging.How(infer=infer))
        external = _external(folder, found, [model], own)
    _tell(found, external, asked, as_json)


def _keep(folder: str | None, found: "Evaluation") -> None:
    """Keep an evaluation in its run or sweep if it is of the own dataset; record the look."""
    from rayograph.runs import evaluations

    if folder is not None and found.fingerprint == found.trained_on:
        evaluations.save(found, folder)
    else:
        evaluations.look(folder, found)


def _external(
    folder: str | None, found: "Evaluation", models: list[str], own: "Callable[[], Evaluation]"
) -> dict[str, Any] | None:
    """Of films of another dataset how they differ from the model's own; a run keeps it."""
    from rayograph.evaluate import external

    if found.fingerprint == found.trained_on:
        return None
    document = external.external(found, external.own_test(folder, found, models, own))
    if folder is not None:
        external.save(folder, document)
    return document


@contextmanager
def _workers() -> "Iterator[Inference]":
    """All workers of the cluster that RAY_ADDRESS names, as it does in a job; else this process."""
    address = os.environ.get("RAY_ADDRESS", "")
    if not address or address.startswith("http"):  # which is for `ray job submit`
        from rayograph.evaluate import inference

        yield inference.here
        return
    from rayograph.cluster import judges, session

    with session.connected(1):
        yield partial(judges.logits, say.print)


def _tell(
    found: "Evaluation",
    external: dict[str, Any] | None,
    asked: Sequence[gate.Condition],
    as_json: bool,
) -> None:
    """Print an evaluation; `Missed` where it is not as was required."""
    from rayograph.runs import looks

    answers = gate.answers(asked, gating.of_metrics(found.metrics))
    texts, document = [tables.evaluation(found)], found.to_json()
    if external is not None:
        texts.append(externals.text(external))
        document["external"] = external
    if found.split == "test":
        counted = looks.count(found)
        texts.append(externals.looks(counted))
        document["looks"] = vars(counted)
    if answers:
        document["required"] = gating.to_json(answers)
    result(json.dumps(document) if as_json else "\n\n".join(texts))
    gating.hold(answers)


def report(run: str) -> None:
    """Make a run's report.html, one self-contained page; beside it MODEL_CARD.md, reporting.md."""
    from rayograph.report import checklist_page, modelcard
    from rayograph.report.load import report_of
    from rayograph.report.page import render

    folder = target_of(run)[0]
    if folder is None:
        raise UserError(f"{run}: a model, not a run folder; a report needs a run's history")
    found = report_of(folder)
    pages = {
        "report.html": render(found),
        "MODEL_CARD.md": modelcard.card(found),
        "reporting.md": checklist_page.page(found),
    }
    for name, text in pages.items():
        storage.write(storage.join(folder.uri, name), text.encode())
    say.print(f"written beside it: {', '.join([*pages][1:])}")
    result(f"report: {storage.join(folder.uri, 'report.html')}")


def models_of(uris: Sequence[str]) -> list[str]:
    """The model files that a command was given; a sweep over folds has several.

    Raises `UserError` where one is given twice: it would count twice.
    """
    from rayograph.search.folds import best_models
    from rayograph.search.ledger import SWEEP

    found: dict[str, str] = {}
    for uri in uris:
        place = storage.absolute(uri)
        folds = storage.exists(storage.join(place, SWEEP))
        for model in best_models(place) if folds else [model_of(uri)]:
            if model in found:
                raise UserError(f"{uri}: the same model as {found[model]}; it would count twice")
            found[model] = uri
    return list(found)


def model_of(uri: str) -> str:
    """The model file that a command was given: itself, its folder, or its run."""
    return target_of(uri)[1]


def target_of(uri: str) -> "tuple[RunFolder | None, str]":
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

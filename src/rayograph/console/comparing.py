"""`compare`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rayograph import storage, task
from rayograph.config.nearest import nearest
from rayograph.console import contests, gating
from rayograph.console.arguments import Json
from rayograph.console.gating import Require
from rayograph.console.judging import target_of
from rayograph.console.output import result
from rayograph.errors import UserError
from rayograph.task import gate

if TYPE_CHECKING:
    from rayograph.evaluate.compare import Comparison, Target
    from rayograph.evaluate.contest import Contest


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|MODEL|SWEEP...", help="two or more; each is compared with the first"
        ),
    ],
    data: Annotated[str | None, typer.Option(help="another packed dataset, for all")] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    metric: Annotated[str, typer.Option(help="what they are compared by")] = "auroc",
    require: Require = "",
    as_json: Json = False,
) -> None:
    """Compare models on the same samples: differences, intervals, tests, and a verdict."""
    from rayograph.evaluate import compare as comparing

    if len(targets) < 2:
        raise UserError(f"{targets[0]}: alone; give two or more to compare")
    if metric not in task.METRICS:
        hint = nearest(metric, list(task.METRICS)) or f"; there are {', '.join(task.METRICS)}"
        raise UserError(f"--metric {metric}: no such metric{hint}")
    asked = gate.parse(require, _askable(metric))
    found = comparing.compare(_targets(targets), data, split, metric)
    answers = [
        answer
        for judged, contest in zip(found.models[1:], found.contests, strict=True)
        for answer in gate.answers(
            asked,
            gating.of_estimate(metric, judged.metric) | _values(metric, contest),
            judged.name,
        )
    ]
    result(_json(found, answers) if as_json else contests.text(found))
    gating.hold(answers)


def _json(found: "Comparison", answers: list[gate.Answer]) -> str:
    document = found.to_json()
    for place, row in enumerate(document["comparisons"]):
        row["verdict"] = contests.verdict(found, place)
    if answers:
        document["required"] = gating.to_json(answers)
    return json.dumps(document)


def _values(metric: str, found: "Contest") -> dict[str, float | None]:
    """What can be asked of a comparison: the difference from the first model, and p."""
    ps = {"p": found.test.p, "p_holm": found.p_holm}
    return gating.of_estimate(f"{metric}_difference", found.test.difference) | ps


def _askable(metric: str) -> list[str]:
    own = [f"{metric}{what}{end}" for what in ("_difference", "") for end in ("", "_low", "_high")]
    return [*own, "p", "p_holm"]


def _name(place: str) -> str:
    """The last part of a place that says something: of RUN/best/model.safetensors, RUN."""
    for tail in ("/model.safetensors", "/best"):
        place = place.rstrip("/").removesuffix(tail)
    return place.rpartition("/")[2]


def _targets(uris: list[str]) -> "list[Target]":
    """What the command was given, with names for people: the last parts, if these differ."""
    from rayograph.evaluate.compare import Target
    from rayograph.search.folds import best_models
    from rayograph.search.ledger import SWEEP

    places = [storage.absolute(uri) for uri in uris]
    if len({*places}) < len(places):
        twice = next(
            uri for uri, place in zip(uris, places, strict=True) if places.count(place) > 1
        )
        raise UserError(f"{twice}: given twice; a model does not differ from itself")
    lasts = [_name(place) for place in places]
    names = lasts if len({*lasts}) == len(lasts) else places
    found = []
    for name, place in zip(names, places, strict=True):
        if storage.exists(storage.join(place, SWEEP)):
            found.append(Target(name, best_models(place), keeps=place))
        else:
            run, model = target_of(place)
            found.append(Target(name, [model], keeps=None if run is None else run.uri, run=run))
    return found

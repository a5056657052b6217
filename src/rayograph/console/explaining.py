"""`explain` and `suspects`: what a model looks at, and which labels it does not believe."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayograph import storage
from rayograph.console import explained
from rayograph.console.arguments import Json
from rayograph.console.judging import target_of
from rayograph.console.output import result, say
from rayograph.errors import UserError

if TYPE_CHECKING:
    from rayograph.evaluate.suspects import Ranking


def explain(
    target: Annotated[
        str, typer.Argument(metavar="RUN|MODEL", help="a run folder or a model of films")
    ],
    data: Annotated[str | None, typer.Option(help="another packed dataset")] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "test",
    film: Annotated[
        list[str] | None,
        typer.Option(metavar="SAMPLE_ID", help="this film, and others with it; else a gallery"),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="the class or label to explain; else what was decided")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="the layer of Grad-CAM; else the model's last feature maps")
    ] = None,
    picture: Annotated[
        str | None, typer.Option(metavar="FILE.png", help="all of it as one picture")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a model looks at: Grad-CAM and input gradients, and whether they can be believed.

    Without --film, of each class or label the most certain right, the most certain wrong and the
    least certain films. A run keeps that gallery for its report.
    """
    if picture is not None and not picture.lower().endswith(".png"):
        raise UserError(f"--picture {picture}: the name of a picture ends in .png")
    from rayograph.evaluate.explain import gallery
    from rayograph.runs import findings

    run, model = target_of(target)
    asked = gallery.Asked(split, tuple(film or ()), label, layer)
    found = gallery.gallery(model, None if run is None else run.uri, data, asked)
    if run is not None and data is None and not film:  # other films say nothing of the run
        findings.save(run.uri, gallery.NAME, found)
        say.print(f"kept in the run; `rayograph report {target}` shows it")
    if picture is not None:
        from rayograph.report.gallery_sheet import sheet

        storage.write(picture, sheet(found))
    told = gallery.without_pictures(found)
    result(json.dumps(told) if as_json else explained.gallery(told))


def suspects(
    target: Annotated[
        str,
        typer.Argument(metavar="SWEEP|RUN|MODEL", help="a sweep over folds, a run, or a model"),
    ],
    count: Annotated[int, typer.Option(min=1, help="how many to print")] = 50,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="the whole ranking: .parquet or .csv")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the labels that a model does not believe, on films that it was not trained on.

    Of a sweep over folds these are the films of all folds, each judged by the model that it
    validated; of one model its validation and test films.
    """
    from rayograph.evaluate import suspects as ranking
    from rayograph.evaluate.predict import table

    if out is not None:
        table.form(out)
    found, place = _ranked(target)
    if out is not None:
        with table.written(out) as file:
            file.write_table(found.table)
        say.print(f"all {len(found.table)} written to {storage.absolute(out)}")
    if place is not None:
        _keep(place, ranking.document(found, count), target)
    told = found.to_json(count)
    result(json.dumps(told) if as_json else explained.suspects(told))


def _ranked(target: str) -> "tuple[Ranking, str | None]":
    """The ranking, and the folder of the run or the sweep that it is of."""
    from rayograph.evaluate import suspects as ranking
    from rayograph.search.folds import best_models
    from rayograph.search.ledger import SWEEP

    place = storage.absolute(target)
    if storage.exists(storage.join(place, SWEEP)):
        return ranking.of_folds(best_models(place)), place
    run, model = target_of(target)
    kept = None if run is None else run.uri
    return ranking.of_run(model, kept), kept


def _keep(place: str, document: dict[str, Any], target: str) -> None:
    """Keep the ranking where the report of a run, or of a sweep a page of its own, shows it."""
    from rayograph.evaluate.suspects import NAME
    from rayograph.report import suspects as pages
    from rayograph.runs import findings

    findings.save(place, NAME, document)
    if document["fold_models"]:
        page = storage.join(place, pages.PAGE)
        storage.write(page, pages.render(document, place.rpartition("/")[2]).encode())
        say.print(f"page: {page}")
    else:
        say.print(f"kept in the run; `rayograph report {target}` shows it")

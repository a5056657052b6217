"""`predict`."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from rayograph import storage
from rayograph.config import PredictConfig
from rayograph.console.arguments import Also, Json, Overrides
from rayograph.console.judging import models_of
from rayograph.console.output import result, say, with_progress

if TYPE_CHECKING:
    from rayograph.pack.mapper import Mapper


def predict(
    model: Annotated[
        str, typer.Argument(metavar="RUN|MODEL|SWEEP", help="a run, a model, or a sweep over folds")
    ],
    source: Annotated[str, typer.Argument(help="a film, a folder of films, a table, or an .npz")],
    out: Annotated[str, typer.Argument(help="a file that ends in .parquet or .csv")],
    overrides: Overrides = None,
    also: Also = None,
    as_json: Json = False,
) -> None:
    """Predict new films or records; count what they are."""
    from rayograph.evaluate.predict import table
    from rayograph.evaluate.predict.parts import Predictor, cut, places
    from rayograph.evaluate.predict.rows import counts as counted
    from rayograph.pack import sources

    options = PredictConfig.load(None, overrides or []).pack
    table.form(out)
    models, out = models_of([model, *(also or [])]), storage.absolute(out)
    storage.exists(out)  # a bucket that is not there is told now, not after the films
    predictor, folder = Predictor.of(models), f"{out}.parts"
    originals = sources.unlabelled(source, predictor.card.recipe, options)
    parts = cut(predictor, originals, folder)
    done = sum(len(part.originals) for part in parts if part.done)
    if done:
        say.print(f"{done} were predicted by a command that was interrupted")
    counts = Counter[str]()
    with _workers(len(parts)) as mapper, table.written(out) as file:
        for rows in with_progress(mapper)("predicting", predictor, parts):
            file.write_table(rows)
            for name, count in counted(rows).items():
                counts[name] += count
    storage.delete(places(folder))
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    result(json.dumps(counts) if as_json else f"{text}; written to {out}")


@contextmanager
def _workers(parts: int) -> "Iterator[Mapper]":
    """Those of the cluster, or of this machine; this process where it would only start one."""
    from rayograph.pack.mapper import one_by_one

    if parts == 1 and not os.environ.get("RAY_ADDRESS"):
        yield one_by_one
        return
    from rayograph.cluster import pool, session

    with session.connected(1):
        yield pool.pooled

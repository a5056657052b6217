"""`sweep`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rayograph import storage
from rayograph.config import SweepConfig
from rayograph.console import signals, tables, trials
from rayograph.console.arguments import Json, Overrides, Preset
from rayograph.console.output import result, say
from rayograph.errors import Failure

if TYPE_CHECKING:
    from rayograph.report.sweep import SweepReport, TrialView
    from rayograph.search.ledger import Trial
    from rayograph.search.space import Space
    from rayograph.search.sweep import Outcome


def sweep(
    preset: Preset,
    space: Annotated[str, typer.Argument(help="a space's path, URI, or name (paper, asha, …)")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Search hyperparameters over a preset; publish the best model and a page.

    The same command again goes on: what has ended is not repeated.
    """
    from rayograph.report.sweep import render_sweep
    from rayograph.search import space as spaces
    from rayograph.search import sweep as sweeps

    wanted, given = spaces.read(space), overrides or []
    sweeps.refuse_clash(wanted, given)
    config = SweepConfig.load(preset, [*wanted.overrides, *given])
    screen = trials.Screen(say, config.train.select, config.cluster.most)
    found = sweeps.run(config, wanted, [preset, *given], screen, signals.listening)
    page = render_sweep(_report(found, config, wanted))
    storage.write(found.folder.page, page.encode())
    table = trials.table(found.ledger.ranked(), config.train.select, config.cluster.most)
    told = found.to_json(config.train.select)
    result(json.dumps(told) if as_json else tables.sweep(table, found, config.train.select))
    if found.unfinished:
        say.print(
            f"{found.unfinished} trials are not finished; run the same command again to continue"
        )
    if found.signal is not None:
        signals.end(found.signal)
    if found.winner is None:
        raise Failure(f"{found.folder.uri}: no trial has a checkpoint; the table says why")


def _report(found: "Outcome", config: SweepConfig, space: "Space") -> "SweepReport":
    """What the sweep's page shows."""
    from rayograph.report.sweep import SweepReport

    spent, whole = found.ledger.cost()
    return SweepReport(
        name=f"{config.run.name}-{space.name}",
        select=config.train.select,
        searcher=config.sweep.searcher,
        scheduler=config.sweep.scheduler,
        trials=[_view(found, trial, config) for trial in found.ledger.trials.values()],
        scales={key: domain.scale for key, domain in space.domains.items()},
        importance=found.importance,
        spent=spent,
        whole=whole,
        winner=found.winner.name if found.winner else None,
        command=found.command,
        folds=[each.to_json() for each in found.folds(config.train.select)],
        config=config.model_dump(mode="json"),
    )


def _view(found: "Outcome", trial: "Trial", config: SweepConfig) -> "TrialView":
    from rayograph.report.sweep import TrialView

    return TrialView(
        name=trial.name,
        state=trial.state,
        params=trial.params,
        history=found.folder.rows(trial),
        epochs=trial.epochs,
        best_epoch=trial.best.epoch if trial.best else None,
        best=trial.best.metrics[config.train.select] if trial.best else None,
        worker_seconds=trial.seconds,
        message=trial.message,
        handovers=[
            {"epoch": each.epoch, "from": each.source, "params": each.params}
            for each in trial.handovers
        ],
    )

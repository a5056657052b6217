"""Results as pages: what runs and sweeps left in storage, handed to the room that draws."""

from typing import TYPE_CHECKING

from rayograph.config import SweepConfig
from rayograph.report.load import evaluations
from rayograph.report.page import RunReport, render
from rayograph.report.sweep import SweepReport, TrialView, render_sweep

if TYPE_CHECKING:
    from rayograph.search.ledger import Trial
    from rayograph.search.space import Space
    from rayograph.search.sweep import Outcome
    from rayograph.train.folder import RunFolder


def run(folder: "RunFolder") -> str:
    """A run's report."""
    config = folder.config()
    return render(
        RunReport(
            name=config.run.name,
            config=config.model_dump(mode="json"),
            history=folder.history(),
            evaluations=list(evaluations(folder.uri)),
        )
    )


def sweep(found: "Outcome", config: SweepConfig, space: "Space") -> str:
    """A sweep's page."""
    spent, whole = found.ledger.cost()
    return render_sweep(
        SweepReport(
            name=f"{config.run.name}-{space.name}",
            select=config.train.select,
            searcher=config.sweep.searcher,
            scheduler=config.sweep.scheduler,
            trials=[_trial(found, trial, config) for trial in found.ledger.trials.values()],
            scales={key: domain.scale for key, domain in space.domains.items()},
            importance=found.importance,
            spent=spent,
            whole=whole,
            winner=found.winner.name if found.winner else None,
            command=found.command,
            config=config.model_dump(mode="json"),
        )
    )


def _trial(found: "Outcome", trial: "Trial", config: SweepConfig) -> TrialView:
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

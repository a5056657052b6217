"""A sweep beside others on an MLflow server: one run there, its trials the runs below it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rayograph import storage
from rayograph.config import SweepConfig
from rayograph.runs import tracking
from rayograph.runs.folder import RunFolder
from rayograph.runs.mlflow_server import Entry, flattened, version
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Ledger, State, Trial
from rayograph.search.space import Space, applied

STATES: dict[State, str] = {
    "waiting": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "stopped": "KILLED",
    "failed": "FAILED",
    "diverged": "FAILED",
    "lost": "FAILED",
}


@contextmanager
def followed(
    config: SweepConfig, space: Space, folder: SweepFolder, ledger: Ledger, fingerprint: str
) -> Iterator[Callable[[Trial], None]]:
    """Tell the config's server of a sweep within the block; what is yielded follows a trial."""
    if config.mlflow.uri is None:
        yield lambda _trial: None
        return
    common = {"rayograph.version": version(), "rayograph.fingerprint": fingerprint}
    own = common | {"rayograph.run": folder.uri, "rayograph.report": folder.page}
    fixed = {k: v for k, v in flattened(config).items() if k not in space.domains}
    name = folder.uri.rpartition("/")[2]
    sweep = Entry(tracking.identity(folder.uri), name, fixed, lambda: own, tuple)
    tracker = tracking.Tracker(config.mlflow)

    def follow(trial: Trial) -> None:
        run = RunFolder(storage.join(folder.trials, trial.run))
        state = {"rayograph.state": f"{trial.state} {trial.message}".strip()}
        tracker.tell(
            Entry(
                id=f"{sweep.id}{trial.name.replace('_', '')}",
                name=trial.name,
                params=flattened(applied(config, trial.params).of_trials()),
                tags=lambda: common | state | tracking.places(run),
                rows=run.history,
                state=STATES[trial.state],
                parent=sweep.id,
            )
        )

    tracker.tell(sweep)
    for trial in ledger.trials.values():  # what an earlier start could not tell
        follow(trial)
    state = "FAILED"
    try:
        yield follow
        left = [trial for trial in ledger.trials.values() if trial.state in ("waiting", "running")]
        for trial in left:
            follow(trial)
        state = "KILLED" if left else "FINISHED"
    except KeyboardInterrupt:
        state = "KILLED"
        raise
    finally:
        tracker.tell(replace(sweep, state=state))
        tracker.close()

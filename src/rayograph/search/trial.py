"""A trial's side of a sweep: a whole run of its own, whose epochs are told to Tune.

A trial of one worker trains in its own process; one of several starts a Ray Train run. Both keep
their run folder, and go on from it when they are started again.
"""

import json
import secrets
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ray import tune

from rayograph import storage
from rayograph.cluster import launch
from rayograph.config import RunConfig
from rayograph.errors import Diverged, Failure, UserError, one_line
from rayograph.runs import history
from rayograph.runs.folder import RunFolder
from rayograph.search.messages import EndReport, EpochReport, Pointer, Source, TrialsJob, TrialSpec
from rayograph.search.space import applied
from rayograph.train import local
from rayograph.train.stops import deaf

POINTER = "pointer.json"

Row = Mapping[str, Any]


def run_trial(given: Mapping[str, TrialSpec], job: TrialsJob) -> None:
    """What Tune calls in each trial's process; `given` holds the `point`.

    What goes wrong is reported, not raised, so that Tune starts again only what has lost its
    process.
    """
    storage.mark_reachable()  # the driver has reached it
    name, point = tune.get_context().get_trial_name(), given["point"]
    run, source = _place(name, point)
    update = {"name": run} | ({"start_from": source["checkpoint"]} if source else {})
    shared = job.config.model_copy(update={"run": job.config.run.model_copy(update=update)})
    report = _Reports(name, run, point["params"], shared, source, job.hands_over)
    try:
        _train(applied(shared, point["params"]), report)
    except Diverged as error:
        report.end("diverged", error)
    except (UserError, Failure) as error:
        report.end("failed", error)
    except Exception as error:
        place = storage.join(shared.run.storage, run, "error.txt")
        storage.write(place, traceback.format_exc().encode())
        report.end("failed", f"{place}: {type(error).__name__}: {error}")


def _place(name: str, point: TrialSpec) -> tuple[str, Pointer | None]:
    """The run to train, and the pointer to what it starts from if that is another trial's."""
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return point["run"], None
    with checkpoint.as_directory() as folder:
        pointer: Pointer = json.loads(Path(folder, POINTER).read_text())
    if (pointer["trial"], pointer["params"]) == (name, point["params"]):
        return pointer["run"], None
    return f"{name}-{secrets.token_hex(2)}", pointer


def _train(config: RunConfig, show: Callable[[Row], None]) -> None:
    folder = RunFolder.of(config)
    rows = folder.history()
    if rows:  # the sweep may have been stopped before it had judged this epoch
        show(rows[-1])
    if history.finished(rows, config.train):
        return
    if config.cluster.most == 1:
        local.run(config, show, deaf)
    else:
        with launch.prepared(config) as (folder, dataset):
            launch.fit(config, folder, dataset, show, deaf)


class _Reports:
    """Tells Tune of a trial's epochs and of its end."""

    def __init__(
        self,
        name: str,
        run: str,
        params: Mapping[str, Any],
        config: RunConfig,
        source: Pointer | None,
        hands_over: bool,
    ) -> None:
        self._name = name
        self._run = run
        self._params = params
        self._config = config
        self._source = source and Source(epoch=source["epoch"], source=source["trial"])
        self._hands_over = hands_over

    def __call__(self, row: Row) -> None:
        """Report an epoch; where weights are handed over with a pointer to its checkpoint."""
        report = EpochReport(
            epoch=row["epoch"],
            score=history.score(row, self._config.train.select),
            row=dict(row),
            run=self._run,
            params=self._params,
            handover=self._source,
        )
        if not (self._hands_over and row["checkpoint"]):
            tune.report(dict(report))
            return
        pointer = Pointer(
            trial=self._name,
            run=self._run,
            params=self._params,
            epoch=row["epoch"],
            checkpoint=storage.join(self._config.run.storage, self._run, row["checkpoint"]),
        )
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, POINTER).write_text(json.dumps(pointer))
            tune.report(dict(report), checkpoint=tune.Checkpoint.from_directory(folder))

    def end(self, state: Literal["failed", "diverged"], reason: object) -> None:
        """Say how the trial ended that could not go on."""
        tune.report(dict(EndReport(ended=state, message=one_line(reason))))

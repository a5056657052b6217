"""What an MLflow tracking server is told of a run, request by request.

A run of ours is one run there, found again by a tag that holds the identity which the run folder
keeps; an epoch is logged once, since the server is asked first which ones it has.
"""

import importlib.metadata
import importlib.util
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayograph import storage
from rayograph.config import Config, MlflowOptions
from rayograph.errors import Failure, UserError, one_line
from rayograph.runs.tensorboard import NOT_FIGURES

ID, NOW = "rayograph.id", "now."
LONGEST, MOST = 500, 100  # characters of a value, and entries of a request: MLflow's limits
EACH_EPOCH = "seconds"  # a figure that every epoch has; it is logged last
SETTINGS = {  # of MLflow's client; what is set already stays
    "MLFLOW_DISABLE_TELEMETRY": "true",  # else it tells its makers what it is used for
    "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{storage.ANSWER_S:.0f}",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # who calls tries again
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PROBE = "/api/2.0/mlflow/experiments/get?experiment_id=0"  # the one that every server begins with
CURE = "start it, correct the address, or leave mlflow.uri out"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """What the server is to know of a run; `tags` and `rows` are read when they are sent.

    `rows` are its epochs, `parent` is the `id` of the sweep that it is a trial of, and `state`
    a status of MLflow's.
    """

    id: str
    name: str
    params: Mapping[str, str]
    tags: Callable[[], Mapping[str, str]]
    rows: Callable[[], Sequence[Row]]
    state: str = "RUNNING"
    parent: str | None = None


@dataclass
class _Known:
    """A run there: its id and start (ms), the epochs that it has, and what was told since."""

    run_id: str
    began: int
    steps: set[int]
    tags: dict[str, str] = field(default_factory=dict)
    state: str | None = None


def check(options: MlflowOptions) -> None:
    """Raise `UserError` or `Failure` where the server cannot be used; nothing is made there."""
    if options.uri is None:
        return
    what = f"mlflow.uri={options.uri}"
    if importlib.util.find_spec("mlflow") is None:
        raise UserError(f"{what}: mlflow is not installed: pip install 'rayograph[mlflow]'")
    storage.answers(what, options.uri, CURE)
    try:
        found = client(options.uri).get_experiment_by_name(options.experiment)
    except Exception as error:  # MLflow's own, and of what it is made of
        refused = getattr(error, "error_code", "") in ("UNAUTHENTICATED", "PERMISSION_DENIED")
        kind, cure = (UserError, "check MLflow's own variables") if refused else (Failure, CURE)
        raise kind(f"{what}: {one_line(error)}; {cure}") from None
    if found is not None and found.lifecycle_stage != "active":
        raise UserError(
            f"mlflow.experiment={options.experiment}: was deleted on {options.uri}; restore it "
            "there, or give another name"
        )


def client(uri: str) -> Any:
    """MLflow's client of a tracking server."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def flattened(config: Config) -> dict[str, str]:
    """The options by their dotted keys, as MLflow's parameters hold them."""
    tree = config.model_dump(mode="json", exclude={"mlflow"})
    return {
        f"{group}.{name}": _cut(value if isinstance(value, str) and value else json.dumps(value))
        for group, options in tree.items()
        for name, value in options.items()
    }


class Server:
    """The runs of one experiment; each request raises what MLflow's client raises."""

    def __init__(self, options: MlflowOptions) -> None:
        self._options = options
        self._known: dict[str, _Known] = {}
        self._run_ids: dict[str, str] = {}
        self._experiment = ""

    def forget(self) -> None:
        """Ask anew what the server has: an answer was lost."""
        self._known = {}

    def tell(self, entry: Entry) -> None:
        """Bring the run there up to what the entry says and its history holds."""
        assert self._options.uri is not None
        found, told = client(self._options.uri), self._known.get(entry.id)
        if told is None:
            told = self._known[entry.id] = self._begun(found, entry)
        self._log(found, entry, told)
        if told.state != entry.state:
            if entry.state in ("RUNNING", "SCHEDULED"):
                found.update_run(told.run_id, status=entry.state)
            else:
                found.set_terminated(told.run_id, entry.state)
            told.state = entry.state

    def _begun(self, found: Any, entry: Entry) -> _Known:
        """The run there, made if there is none, with its parameters and what it has of epochs.

        Parameters never change there: what a resumed run has otherwise becomes a tag, `now.KEY`.
        """
        from mlflow.entities import Param, RunTag

        experiment = self._its_experiment(found)
        runs = found.search_runs([experiment], f"tags.`{ID}` = '{entry.id}'", max_results=1)
        parent = {"mlflow.parentRunId": self._run_ids[entry.parent]} if entry.parent else {}
        tags = {ID: entry.id, **parent}
        run = runs[0] if runs else found.create_run(experiment, tags=tags, run_name=entry.name)
        self._run_ids[entry.id] = run.info.run_id
        there, tagged = run.data.params, run.data.tags
        params = [Param(key, value) for key, value in entry.params.items() if key not in there]
        changed = [
            RunTag(f"{NOW}{key}", value)
            for key, value in entry.params.items()
            if key in there and (there[key] != value or f"{NOW}{key}" in tagged)
        ]
        for some in _batches(params):
            found.log_batch(run.info.run_id, params=some)
        for some in _batches(changed):
            found.log_batch(run.info.run_id, tags=some)
        steps = found.get_metric_history(run.info.run_id, EACH_EPOCH) if runs else []
        return _Known(run.info.run_id, run.info.start_time, {each.step for each in steps})

    def _its_experiment(self, found: Any) -> str:
        if not self._experiment:
            name = self._options.experiment
            there = found.get_experiment_by_name(name)
            self._experiment = there.experiment_id if there else found.create_experiment(name)
        return self._experiment

    def _log(self, found: Any, entry: Entry, told: _Known) -> None:
        """The epochs that the server lacks, and the tags that are new."""
        from mlflow.entities import Metric, RunTag

        tags = {key: _cut(v) for key, v in entry.tags().items() if told.tags.get(key) != _cut(v)}
        for some in _batches([RunTag(*each) for each in tags.items()]):
            found.log_batch(told.run_id, tags=some)
        told.tags |= tags
        trained = 0.0
        for row in entry.rows():
            trained += row["seconds"]
            if row["epoch"] in told.steps:
                continue
            when = told.began + int(1000 * trained)  # the same if it is sent twice
            metrics = [Metric(k, v, when, row["epoch"]) for k, v in _figures(row)]
            for some in _batches(metrics):
                found.log_batch(told.run_id, metrics=some)
            told.steps.add(row["epoch"])


def version() -> str:
    """This package's own."""
    return importlib.metadata.version("rayograph")


def _figures(row: Row) -> Iterator[tuple[str, float]]:
    """An epoch's numbers, the one that says it is complete at the end."""
    names = [name for name in row if name not in (*NOT_FIGURES, EACH_EPOCH)]
    for name in (*names, EACH_EPOCH):
        if row[name] is not None and math.isfinite(row[name]):
            yield name, float(row[name])


def _batches(entries: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(entries), MOST):
        yield entries[first : first + MOST]


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 2]} …"

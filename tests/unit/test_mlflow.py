"""Runs and sweeps on a real MLflow server: told once, and never waited for."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rayograph import storage
from rayograph.config import RunConfig, SweepConfig
from rayograph.runs.folder import RunFolder
from rayograph.runs.mlflow_server import client
from rayograph.search import space as spaces
from rayograph.search import tracked
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Trial, name_of
from rayograph.train import local
from rayograph.train.stops import deaf
from tests import small
from tests.tracking import MlflowServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    found = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture(scope="module")
def first(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nobody was told of, trained while the server starts."""
    run = small.trained(tmp_path_factory.mktemp("runs"), "run.name=first")
    server.wait()
    return run


def again(run: RunFolder, *words: str, show: Any = lambda _row: None) -> RunFolder:
    """The same run, or another of its options and its films."""
    return local.run(RunConfig.load(storage.join(run.uri, "config.yaml"), words), show, deaf)


def there(server: MlflowServer, name: str) -> Any:
    """The one run of that name."""
    found = client(server.uri)
    experiment = found.get_experiment_by_name("rayograph").experiment_id
    (run,) = found.search_runs([experiment], f"attributes.run_name = '{name}'")
    return run


def epochs(server: MlflowServer, run: Any, figure: str) -> list[tuple[int, float]]:
    """An epoch's number and figure, as often as it was logged."""
    logged = client(server.uri).get_metric_history(run.info.run_id, figure)
    return [(each.step, each.value) for each in logged]


def test_a_run_is_one_run_there_also_once_it_is_resumed(
    server: MlflowServer, first: RunFolder
) -> None:
    told = (f"mlflow.uri={server.uri}", "run.name=told")
    run = again(first, *told, "train.epochs=2")
    once = there(server, "told")
    assert once.info.status == "FINISHED"
    assert once.data.params["train.epochs"] == "2"
    assert once.data.params["model.name"] == "cnn"
    assert not [key for key in once.data.params if key.startswith("mlflow.")]
    again(first, *told, "train.epochs=3")
    found, rows = there(server, "told"), run.history()
    assert found.info.run_id == once.info.run_id
    for figure in ("train_loss", "val_auroc", "seconds"):
        assert epochs(server, found, figure) == [(row["epoch"], row[figure]) for row in rows]
    assert found.data.params["train.epochs"] == "2", "a parameter never changes there"
    assert found.data.tags["now.train.epochs"] == "3"
    assert found.data.tags["rayograph.run"] == run.uri
    assert found.data.tags["rayograph.best_model"] == run.best_model
    assert found.data.tags["rayograph.checkpoint"] == run.latest()
    assert math.isclose(found.data.metrics["train_loss"], rows[-1]["train_loss"])


def test_a_sweep_is_a_run_and_its_trials_are_below_it(
    server: MlflowServer, first: RunFolder, tmp_path: Path
) -> None:
    place = tmp_path / "rates.yaml"
    place.write_text("optim.lr: {grid: [1e-3, 1e-2]}\n")
    words = [f"mlflow.uri={server.uri}", f"run.storage={tmp_path}", "run.name=many"]
    words.append("sweep.searcher=grid")
    config = SweepConfig.load(storage.join(first.uri, "config.yaml"), words)
    space = spaces.check(spaces.read(str(place)), config)
    folder = SweepFolder.of(config, space)
    ledger = folder.ledger(config)
    for number, rate in enumerate((1e-3, 1e-2)):
        ledger.trials[number] = Trial(
            number=number, params={"optim.lr": rate}, run=name_of(number), epochs=1
        )
    with tracked.followed(config, space, folder, ledger, "f") as follow:
        for trial, state in zip(ledger.trials.values(), ("finished", "diverged"), strict=True):
            parts = (f"run.storage={folder.trials}", f"run.name={trial.run}")
            again(first, *parts, f"optim.lr={trial.params['optim.lr']}")
            trial.state = state
            follow(trial)
    sweep = there(server, "many-rates")
    assert sweep.info.status == "FINISHED"
    assert "optim.lr" not in sweep.data.params
    trials = [there(server, name_of(number)) for number in (0, 1)]
    assert [run.data.params["optim.lr"] for run in trials] == ["0.001", "0.01"]
    assert [run.info.status for run in trials] == ["FINISHED", "FAILED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {sweep.info.run_id}
    for run, trial in zip(trials, ledger.trials.values(), strict=True):
        (row,) = folder.rows(trial)
        assert epochs(server, run, "val_loss") == [(1, row["val_loss"])]


def test_a_server_that_says_nothing_or_is_gone_holds_nobody_up(
    server: MlflowServer, first: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def pause(row: Any) -> None:
        seen.append(row["epoch"])
        if row["epoch"] == 1:
            server.pause()
        elif row["epoch"] == 4:
            server.go_on()

    def end(row: Any) -> None:
        if row["epoch"] == 1:
            server.end()

    with caplog.at_level(logging.WARNING, "rayograph.tracking"):
        words = (f"mlflow.uri={server.uri}", "train.epochs=4")
        run = again(first, *words, "run.name=paused", show=pause)
        assert seen == [1, 2, 3, 4]
        found = there(server, "paused")
        assert [step for step, _ in epochs(server, found, "train_loss")] == [1, 2, 3, 4]
        assert found.info.status == "FINISHED"
        caplog.clear()
        run = again(first, *words, "run.name=ended", show=end)
        assert len(run.history()) == 4
    troubled, left = [record.getMessage() for record in caplog.records]
    assert "training goes on" in troubled
    assert left.endswith("does not know all of ended; the run folder does")

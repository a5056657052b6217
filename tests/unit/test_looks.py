"""The ledger of looks at a test split: through runs, checkpoints, bare models and comparisons."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rayograph.console import judging
from rayograph.evaluate import compare as comparing
from rayograph.evaluate.compare import Target
from rayograph.report import looks as shown
from rayograph.runs import evaluations, looks
from rayograph.runs.evaluations import Evaluation
from rayograph.runs.folder import RunFolder
from tests.conftest import rayograph
from tests.small import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("looked")
    return trained(place, "train.epochs=2", "checkpoint.keep=all")


def ledger(place: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((place / "looks").glob("*.json"))]


def test_every_way_to_look_is_recorded_with_the_films_and_in_the_run(
    run: RunFolder, tmp_path: Path
) -> None:
    data, own = Path(run.config().data.uri), Path(run.uri) / "evaluation"
    bare = tmp_path / "elsewhere.safetensors"
    shutil.copy(run.best_model, bare)
    other = run.checkpoints()[1]
    judging.evaluate(run.uri, all_checkpoints=True)
    judging.evaluate(other)
    said = rayograph("evaluate", str(bare), "--json")
    judging.evaluate(run.uri, split="val")
    rows = ledger(data)
    assert [row["command"] for row in rows] == ["evaluate"] * 3, "validation films are no test"
    assert [row["all_checkpoints"] for row in rows] == [True, False, False]
    assert rows[2]["model"] == str(bare)
    assert rows[2]["digest"] == rows[0]["digest"], "a copy is the same model"
    assert rows[0]["metrics"]["auroc"].keys() == {"value", "low", "high"}
    assert [row["time"] for row in ledger(own)] == [row["time"] for row in rows[:2]]
    models = len({row["digest"] for row in rows})
    assert json.loads(said.stdout)["looks"] == {"looks": 3, "models": models, "complete": True}

    targets = [Target("run", [run.best_model], run.uri, run), Target("bare", [str(bare)])]
    comparing.compare(targets, None, "test", "auroc")
    assert [row["command"] for row in ledger(data)[3:]] == ["compare", "compare"]
    assert len(ledger(own)) == 3
    found = looks.of_run(run)
    assert found is not None
    assert (found["counted"], found["models"], found["unknown"]) == (5, models, None)
    assert len(found["looks"]) == 5, "each once, though it lies in two places"
    assert len(shown.view(found)["rows"]) == 5


def judged(dataset: Path, model: Path, fingerprint: str = "a" * 64) -> Evaluation:
    return Evaluation(
        split="test", films=3, patients=3, task="multiclass", classes=("no", "yes"), metrics={},
        labels={}, confusion=[], operating_points=None, model=str(model), epoch=1,
        dataset=str(dataset), fingerprint=fingerprint, trained_on="a" * 64,
        predictions=pa.table({}), digest=str(np.abs(hash(str(model))))[:12].zfill(12),
    )  # fmt: skip


def test_a_look_that_can_be_written_nowhere_is_said_once_and_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").write_text("a file, below which nothing can be written")
    with caplog.at_level(logging.WARNING):
        evaluations.look(None, judged(tmp_path / "data", tmp_path / "m.safetensors"), "audit")
    assert "this look at the test split is not recorded: " in caplog.text
    assert len(caplog.records) == 1
    (tmp_path / "run").mkdir()
    caplog.clear()
    evaluations.look(str(tmp_path / "run"), judged(tmp_path / "data", tmp_path / "m"), "audit")
    assert not caplog.records, "it is in the run"
    (row,) = ledger(tmp_path / "run" / "evaluation")
    assert row["command"] == "audit"


def test_looks_at_films_that_are_others_now_do_not_count(tmp_path: Path) -> None:
    old, new = (judged(tmp_path, tmp_path / "m", letter * 64) for letter in "bc")
    for found in (old, old, new):
        evaluations.look(None, found)
    assert looks.count(old) == looks.Looks(2, 1)
    assert looks.count(new) == looks.Looks(1, 1)
    evaluations.look(None, judged(tmp_path, tmp_path / "n", "c" * 64))
    assert looks.count(new) == looks.Looks(2, 2)
    assert [looks.count(each).doubtful for each in (old, new)] == [False, True]


def test_a_test_split_that_many_models_saw_is_doubted() -> None:
    row = {
        "time": "2026-01-01T00:00:00+00:00", "command": "evaluate", "model": "r/best/model",
        "epoch": 1, "dataset": "d", "films": 3, "metrics": {}, "own": True,
        "all_checkpoints": False,
    }  # fmt: skip
    document = {"looks": [row], "counted": 1, "models": 1, "unknown": None}
    assert shown.doubts(document) == []
    document |= {"looks": [row, row], "counted": 2, "models": 2}
    (told,) = shown.doubts(document)
    assert told.startswith("The test split has been looked at 2 times, by 2 models.")
    assert "optimistic" in told
    assert shown.doubts(document | {"counted": 11, "models": 1})

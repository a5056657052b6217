"""A sweep on a Ray of one's own: what fails does not stop it, and the best comes back."""

import json
import shlex
from pathlib import Path

import pytest
import torch

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.evaluate import evaluation
from rayograph.models.build import build
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.stops import deaf
from tests.conftest import rayograph

SMALL = ("data.image_size=32", "model.depth=4", "train.batch_size=16")
TROUBLE = """
sweep.searcher: grid
optim.lr: {grid: [1e-3, 10]}
model.width: {grid: [16, 8]}
model.weights: {grid: [WEIGHTS]}
optim.schedule: constant
optim.warmup_epochs: 0
optim.weight_decay: 10
train.class_weights: balanced
train.epochs: 2
cluster.workers: 1
"""


@pytest.mark.cluster
def test_trials_that_fail_or_diverge_do_not_stop_a_sweep_and_the_winner_is_a_run(
    s3: str, packed: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    space = tmp_path_factory.mktemp("space") / "trouble.yaml"
    weights = str(space.with_name("weights.pth"))
    options = RunConfig.load("demo", SMALL).model  # of width 16
    torch.save(build(options, (1, 32, 32), packed.task.outputs).state_dict(), weights)
    space.write_text(TROUBLE.replace("WEIGHTS", weights))
    words = ("demo", str(space), f"data.uri={packed.uri}", f"run.storage={s3}/sweeps", *SMALL)
    done = rayograph("sweep", *words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "Traceback" not in done.stderr
    trials = {tuple(t["params"].values()): t for t in found["trials"]}
    assert {key: trial["state"] for key, trial in trials.items()} == {
        (0.001, 16, weights): "finished",
        (0.001, 8, weights): "failed",
        (10, 16, weights): "diverged",
        (10, 8, weights): "failed",
    }
    assert f"model.weights={weights}" in trials[0.001, 8, weights]["message"]
    assert "the loss is nan" in trials[10, 16, weights]["message"]
    assert done.stderr.count("trial_00000  running  epoch 2/2") == 1, "a line a change"

    sweep = found["sweep"]
    ledger = storage.read(f"{sweep}/trials.jsonl").decode().splitlines()
    assert [json.loads(line)["number"] for line in ledger] == [0, 1, 2, 3]
    page = storage.read(f"{sweep}/sweep.html").decode()
    assert page.startswith("<!DOCTYPE html>")
    assert "trial_00003" in page
    winner = RunFolder(f"{sweep}/best")
    assert found["winner"] == "trial_00000"
    assert found["best_model"] == winner.best_model
    assert [row["epoch"] for row in winner.history()] == [1, 2]
    judged = evaluation.evaluate(winner.best_model, None, "test")
    assert judged.to_json()["films"] == packed.split("test").rows

    again = rayograph("sweep", *words, "--json")
    assert json.loads(again.stdout) == found, "what failed was tried again, to the same end"
    assert "4 trials, 2 ended before" in again.stderr
    assert again.stderr.count("trial_00000") == 0

    _, command, preset, *overrides = shlex.split(found["command"])
    assert command == "train"
    repeated = local.run(RunConfig.load(preset, overrides), lambda _row: None, deaf)
    assert rows(repeated) == rows(winner), "to the bit, without Ray"


def rows(run: RunFolder) -> list[dict[str, object]]:
    told = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_auroc", "lr")
    return [{key: row[key] for key in told} for row in run.history()]


def test_a_wrong_sweep_is_one_line_and_leaves_nothing(packed: Dataset, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("optim.lr: {uniform: [1e-3, 1e-2]}")
    given = (f"data.uri={packed.uri}", f"run.storage={tmp_path}/runs", "optim.lr=1e-3")
    done = rayograph("sweep", "demo", str(tmp_path / "wrong.yaml"), *given)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "rayograph: optim.lr=1e-3: optim.lr is searched by wrong; leave one of them out\n"
    )
    assert not (tmp_path / "runs").exists()

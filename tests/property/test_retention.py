"""What `best/` was made from is never pruned, whatever ties, restarts and values of `keep`."""

import asyncio
import json
import math
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import ray.train
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import CheckpointManager
from ray.train.v2._internal.execution.context import StorageContext
from ray.train.v2._internal.execution.training_report import _TrainingReport

from rayograph.config import DataOptions, EvaluateOptions, ModelOptions, PackOptions
from rayograph.data.dataset import Dataset
from rayograph.pack import phantom
from rayograph.runs import checkpoint, history
from rayograph.runs.card import ModelCard
from rayograph.runs.folder import RAYS, RunFolder
from rayograph.train.reporter import FolderReporter
from rayograph.train.state import CheckpointPayload
from rayograph.train.world import World
from tests.conftest import packing

SELECT = "val_auroc"
ALONE = World(0, 1, torch.device("cpu"))
EPOCHS = st.lists(
    st.fixed_dictionaries({
        "val_auroc": st.sampled_from([0.5, 0.75, math.nextafter(0.75, 0), 1.0, None, math.nan]),
        "val_loss": st.sampled_from([0.5, 0.25, None]),
        "saved": st.sampled_from([True, True, True, False]),
        "crash": st.sampled_from([None, None, "uploaded", "published", "reported"]),
        "keep": st.integers(1, 3),  # of the start that follows the crash
    }),
    min_size=1, max_size=9,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    phantom.write(folder / "films", 60, seed=0, size=32)
    return packing(folder / "films", folder / "packed", PackOptions(size=32))


def row(number: int, drawn: dict[str, Any]) -> dict[str, Any]:
    figures = {name: history.plain(drawn[name]) for name in ("val_auroc", "val_loss")}
    name = checkpoint.checkpoint_name(number, "0123abcd") if drawn["saved"] else None
    return {
        "epoch": number,
        "lr": 0.1,
        "train_loss": None,
        **figures,
        "seconds": 1.0,
        "checkpoint": name,
    }


@settings(max_examples=12)
@given(drawn=EPOCHS, keep=st.integers(1, 3))
def test_in_a_folder(data: Dataset, drawn: list[dict[str, Any]], keep: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run, rows = RunFolder(folder), list[dict[str, Any]]()
        reporter = started(run, keep)
        for number, each in enumerate(drawn, 1):
            rows.append(row(number, each))
            payload = payload_of(data, rows) if each["saved"] else None
            if each["crash"] in ("uploaded", "published") and payload is not None:
                place = Path(folder, rows[-1]["checkpoint"])
                place.mkdir(parents=True)
                payload.write(place)
                if each["crash"] == "published":
                    run.publish(str(place), SELECT)
            else:
                reporter.report(rows, payload)
            if each["crash"]:
                reporter = started(run, each["keep"])
            check(run)


def started(run: RunFolder, keep: int) -> FolderReporter:
    reporter = FolderReporter(run, SELECT, keep, ALONE, lambda _row: None, threading.Event())
    reporter.latest()
    return reporter


def payload_of(data: Dataset, rows: list[dict[str, Any]]) -> CheckpointPayload:
    manifest = data.manifest
    card = ModelCard(
        model=ModelOptions(name="cnn"), task="multiclass", classes=manifest.classes,
        recipe=manifest.recipe,
        transform=data.transform(DataOptions(image_size=32), EvaluateOptions()),
        operating_points=None, dataset=data.uri, fingerprint=manifest.fingerprint, run="run",
        epoch=rows[-1]["epoch"], metrics={},
    )  # fmt: skip
    progress = {"epoch": len(rows), "step": 0, "sums": {}, "fingerprint": "", "history": rows}
    return CheckpointPayload({"w": torch.zeros(1)}, {}, json.dumps(progress), card)


def check(run: RunFolder) -> None:
    leader = history.best(run.history(), SELECT)
    if leader is None:
        return
    made_from = json.loads(Path(run.uri, "best", "model.json").read_text())
    assert (made_from["checkpoint"], made_from["epoch"]) == (leader["checkpoint"], leader["epoch"])
    assert leader["epoch"] in run.checkpoints()


@settings(max_examples=40)
@given(drawn=EPOCHS, keep=st.integers(1, 3))
def test_by_ray(drawn: list[dict[str, Any]], keep: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = list[dict[str, Any]]()

        async def report() -> None:
            manager = managing(folder, keep)
            for number, each in enumerate(drawn, 1):
                rows.append(row(number, each))
                if each["saved"]:
                    place = Path(folder, "run", rows[-1]["checkpoint"])
                    place.mkdir(parents=True)
                    figures = {"score": history.standing(rows, SELECT)}
                    saved = ray.train.Checkpoint(str(place))
                    manager.register_checkpoint(_TrainingReport(saved, figures, False))
                    best = history.best(rows, SELECT)
                    assert best is not None
                    assert Path(folder, "run", best["checkpoint"]).exists()
                if each["crash"]:
                    manager = managing(folder, each["keep"])

        asyncio.run(report())
        assert Path(folder, "run", RAYS).exists() == any(each["saved"] for each in drawn)


def managing(folder: str, keep: int) -> CheckpointManager:
    """Ray's own pruning, as `cluster.launch` asks for it."""
    options = ray.train.CheckpointConfig(
        num_to_keep=keep, checkpoint_score_attribute="score", checkpoint_score_order="max"
    )
    return CheckpointManager(options, StorageContext(folder, "run"))


@pytest.mark.parametrize("score", [0.75, -math.inf])
def test_of_equal_scores_the_earlier_stands_higher(score: float) -> None:
    rows = [row(n, {"val_auroc": score, "val_loss": None, "saved": True}) for n in range(1, 5)]
    standings = [history.standing(rows[:n], SELECT) for n in range(1, 5)]
    assert standings[0] > standings[1] > standings[2] > standings[3] > -math.inf

"""Pure parts of training, and runs in this process: no Ray, no torchrun."""

import json
import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from rayograph import storage
from rayograph.config import OptimOptions, PackOptions, RunConfig, TrainOptions
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged, UserError
from rayograph.evaluate import evaluation
from rayograph.pack import phantom
from rayograph.report.load import report_of
from rayograph.report.page import render
from rayograph.runs import checkpoint, history
from rayograph.runs.folder import RunFolder
from rayograph.train import checks, device, local, optim
from rayograph.train.stops import deaf
from tests.conftest import packing


def settings(data: Dataset, runs: Path, *overrides: str) -> RunConfig:
    words = [f"data.uri={data.uri}", f"run.storage={runs}", "data.image_size=32", "model.name=cnn"]
    words += [
        "model.width=4",
        "model.depth=2",
        "train.epochs=2",
        "train.batch_size=200",
        *overrides,
    ]
    return RunConfig.load(None, words)


def run(data: Dataset, runs: Path, *overrides: str) -> RunFolder:
    return local.run(settings(data, runs, *overrides), lambda _row: None, deaf)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [optim.factor(step, 10, 5, OptimOptions(warmup_epochs=1)) for step in range(51)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == max(rates) == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[50] == pytest.approx(0)
    constant = OptimOptions(schedule="constant", warmup_epochs=0)
    assert {optim.factor(step, 10, 5, constant) for step in range(50)} == {1.0}


def rows(*aurocs: float | None) -> list[dict[str, object]]:
    return [
        {"epoch": i, "val_auroc": a, "val_loss": 1 / i, "checkpoint": f"checkpoint_{i}"}
        for i, a in enumerate(aurocs, 1)
    ]


def test_the_best_epoch_is_the_first_of_the_highest_and_has_a_checkpoint() -> None:
    assert history.best(rows(0.5, 0.9, 0.9), "val_auroc")["epoch"] == 2
    assert history.best(rows(0.5, 0.9, 0.9), "val_loss")["epoch"] == 3
    assert history.best(rows(None, None, None), "val_auroc")["epoch"] == 3  # by loss instead
    unsaved = rows(0.5, 0.9)
    unsaved[1]["checkpoint"] = None
    assert history.best(unsaved, "val_auroc")["epoch"] == 1
    assert history.best([], "val_auroc") is None
    assert history.best(rows(0.5, 0.9, 0.7), TrainOptions(final="last").leader)["epoch"] == 3


def test_a_run_is_finished_by_epochs_or_by_patience() -> None:
    assert not history.finished([], TrainOptions(epochs=3))
    assert not history.finished(rows(0.9, 0.8), TrainOptions(epochs=3))
    assert history.finished(rows(0.9, 0.8, 0.7), TrainOptions(epochs=3))
    assert history.finished(rows(0.9, 0.8), TrainOptions(epochs=9, patience=1))
    assert not history.finished(rows(0.8, 0.9), TrainOptions(epochs=9, patience=1))
    unsaved = [{**row, "checkpoint": None} for row in rows(0.5, 0.6, 0.7)]
    assert not history.finished(unsaved, TrainOptions(epochs=9, patience=2))


def test_history_lines_are_json_and_hold_no_nan() -> None:
    lines = history.to_lines([{"epoch": 1, "val_auroc": math.nan, "checkpoint": None}])
    assert history.from_lines(lines, "") == [{"epoch": 1, "val_auroc": None, "checkpoint": None}]


def test_a_finished_run_and_another_config_are_refused(packed: Dataset, tmp_path: Path) -> None:
    run(packed, tmp_path, "train.epochs=1")
    with pytest.raises(UserError, match=r"this run is finished; give a new run.name, or more"):
        run(packed, tmp_path, "train.epochs=1")
    other = r"with a different train\.batch_size, optim\.lr; give a new run\.name, or the old"
    with pytest.raises(UserError, match=other):
        run(packed, tmp_path, "optim.lr=0.1", "train.batch_size=100")
    assert len(run(packed, tmp_path, "train.epochs=3").history()) == 3
    assert len(run(packed, tmp_path, "train.epochs=1", "run.name=new").history()) == 1


def test_what_changes_no_result_makes_no_other_run(packed: Dataset, tmp_path: Path) -> None:
    folder = run(packed, tmp_path, "train.epochs=1")
    for other in (
        f"data.cache={tmp_path}/cache", "data.cache_bytes=1000000000", "cluster.workers=2",
        "cluster.hang_s=60", "checkpoint.every=30 s", "train.micro_batch=50", "train.on_nan=skip",
    ):  # fmt: skip
        assert folder.check(settings(packed, tmp_path, other)) == 1, "an epoch is behind it"
    other = settings(packed, tmp_path, "optim.lr=0.1")
    storage.delete([f"{folder.uri}/history.jsonl"])
    with pytest.raises(UserError, match=r"was started with a different optim\.lr"):
        folder.check(other)  # it would go on from the checkpoint, which a crash left unpublished
    storage.delete([f"{folder.latest()}/{checkpoint.PROGRESS}"])
    assert folder.check(other) == 0, "nothing to go on from"


def test_what_a_crash_at_the_very_end_left_of_snapshots_goes(
    packed: Dataset, tmp_path: Path
) -> None:
    folder = run(packed, tmp_path)
    left = Path(folder.uri) / "snapshot_0001_000002_ffffffff"
    shutil.copytree(folder.checkpoints()[2], left)
    with pytest.raises(UserError, match="this run is finished"):
        run(packed, tmp_path)
    assert not left.exists()


def test_patience_ends_a_run_with_a_checkpoint(packed: Dataset, tmp_path: Path) -> None:
    words = ("train.epochs=30", "train.patience=2", "checkpoint.every=5", "optim.lr=1e-7")
    folder = run(packed, tmp_path, *words)
    last = folder.history()[-1]["epoch"]
    assert last < 30
    assert last in folder.checkpoints()
    assert history.finished(folder.history(), TrainOptions(epochs=30, patience=2))
    with pytest.raises(
        UserError, match=r"is finished; give a new run\.name, or more train\.patience"
    ):
        run(packed, tmp_path, *words)


def test_only_the_best_and_the_latest_checkpoints_are_kept(packed: Dataset, tmp_path: Path) -> None:
    folder = run(packed, tmp_path, "train.epochs=5", "checkpoint.keep=1", "train.select=val_loss")
    best = history.best(folder.history(), "val_loss")["epoch"]
    assert set(folder.checkpoints()) == {best, 5}
    assert json.loads(storage.read(f"{folder.uri}/best/model.json"))["epoch"] == best


def test_the_last_epoch_is_the_model_where_that_was_asked(packed: Dataset, tmp_path: Path) -> None:
    words = ("train.epochs=4", "checkpoint.keep=1", "train.final=last", "optim.lr=1e-7")
    folder = run(packed, tmp_path, *words)  # which hardly learns, so any epoch may be the best
    assert set(folder.checkpoints()) == {4}
    assert json.loads(storage.read(f"{folder.uri}/best/model.json"))["epoch"] == 4
    page = render(report_of(folder))
    assert "marks the last epoch, 4, whose weights are the model" in page
    with pytest.raises(UserError, match="nothing is waited for with final=last"):
        settings(packed, tmp_path, "train.final=last", "train.patience=2")


def test_what_a_crash_left_unpublished_is_published_by_the_next_start(
    packed: Dataset, tmp_path: Path
) -> None:
    """A crash after the last checkpoint's upload, before `best/` and the history show it."""
    folder = run(packed, tmp_path, "checkpoint.keep=all", "train.select=val_loss")
    first = history.to_lines(folder.history()[:1])
    storage.write(f"{folder.uri}/history.jsonl", first)
    storage.write(f"{folder.uri}/best/model.json", b'{"checkpoint": "checkpoint_0001_00000000"}')
    again = run(packed, tmp_path, "checkpoint.keep=all", "train.select=val_loss")
    best = history.best(again.history(), "val_loss")["epoch"]
    assert [row["epoch"] for row in again.history()] == [1, 2]
    assert json.loads(storage.read(f"{folder.uri}/best/model.json"))["epoch"] == best


def test_a_model_that_diverged_is_a_failure_that_says_so(packed: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"epoch 1, step \d+: the loss is nan; a smaller optim.lr"):
        run(packed, tmp_path, "optim.lr=10", "train.batch_size=2", "optim.schedule=constant",
            "model.norm=group", "optim.warmup_epochs=0", "train.class_weights=balanced",
            "optim.weight_decay=10", "model.depth=4")  # fmt: skip


def test_an_orphan_of_a_crash_is_not_taken_for_a_checkpoint(
    packed: Dataset, tmp_path: Path
) -> None:
    folder = run(packed, tmp_path, "checkpoint.keep=all")
    one, two = folder.checkpoints().values()
    shutil.copytree(one, Path(folder.uri) / "checkpoint_0002_ffffffff")
    assert folder.checkpoints() == {1: one, 2: two}


def test_a_run_may_start_from_another_ones_checkpoint_with_other_options(
    packed: Dataset, tmp_path: Path
) -> None:
    common = ("train.epochs=3", "checkpoint.keep=all", "optim.lr=1e-3")
    first = run(packed, tmp_path / "a", *common)
    start = f"run.start_from={first.checkpoints()[2]}"
    same = run(packed, tmp_path / "b", *common, start)
    told = ("epoch", "lr", "train_loss", "val_loss", "val_auroc")
    assert [[r[k] for k in told] for r in same.history()] == [
        [r[k] for k in told] for r in first.history()
    ], "the same options, the same bits"
    assert list(same.checkpoints()) == [3], "the others lie in the first run"
    assert storage.exists(same.best_model)
    other = run(packed, tmp_path / "c", *common[:2], "optim.lr=4e-3", start)
    assert other.history()[2]["lr"] == pytest.approx(4 * first.history()[2]["lr"])
    assert other.history()[2]["train_loss"] != first.history()[2]["train_loss"]
    with pytest.raises(UserError, match=r"is of another model; keep the model\.\* it had"):
        run(packed, tmp_path / "d", *common, start, "model.width=8")


def test_a_checkpoint_to_start_from_is_looked_at_before_anything_starts(
    packed: Dataset, tmp_path: Path
) -> None:
    config = settings(packed, tmp_path, f"run.start_from={tmp_path}/checkpoint_0001_0a")
    with pytest.raises(UserError, match=r"checkpoint_0001_0a/progress\.json: not found"):
        checks.check_run(config, packed)


def test_three_classes_train_and_are_judged(tmp_path: Path) -> None:
    for part, count in (("train", 12), ("val", 6), ("test", 9)):
        for number in range(count):
            place = tmp_path / "films" / part / ("clear", "mass", "edema")[number % 3]
            place.mkdir(parents=True, exist_ok=True)
            film = phantom.film(10 * number + count, opacity=number % 3 > 0, size=32)
            Image.fromarray(film).save(place / f"{number}.png")
    data = packing(tmp_path / "films", tmp_path / "d", PackOptions(size=32, negative="clear"))
    assert data.manifest.classes == ("clear", "edema", "mass")
    folder = run(data, tmp_path, "train.batch_size=6")
    found = evaluation.evaluate(folder.best_model, None, "test")
    assert found.films == 9
    assert sum(map(sum, found.confusion)) == 9
    assert found.operating_points is None
    assert 0 <= found.metrics["auroc"].value <= 1


def test_a_checkpoint_is_read_without_running_code(packed: Dataset, tmp_path: Path) -> None:
    """`state.pt` loads with weights_only, and progress.json says where the run stands."""
    import torch

    folder = run(packed, tmp_path, "train.epochs=1")
    place = folder.checkpoints()[1]
    torch.load(f"{place}/{checkpoint.STATE}", weights_only=True)
    found = checkpoint.Progress.read(place)
    assert (found.epoch, found.step) == (1, 0)
    assert found.fingerprint == packed.manifest.fingerprint
    progress = json.loads(storage.read(f"{place}/{checkpoint.PROGRESS}"))
    assert progress["config"]["data"]["uri"] == packed.uri
    assert progress["best"]["epoch"] == 1
    assert set(progress["versions"]) >= {"torch", "numpy"}
    assert folder.environment()["device"] == f"1 × {device.name(torch.device('cpu'))}"

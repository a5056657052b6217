"""What a recipe may add to training, each by hand, and all of them in a run that is begun again."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.evaluate import evaluation
from rayograph.report.load import report_of
from rayograph.report.page import render
from rayograph.runs import card as cards
from rayograph.train.average import Average
from tests.unit.test_train import run

ALL = ("train.ema=0.99",)
COMMON = ("train.epochs=3", "checkpoint.keep=all", "optim.lr=1e-3")
TOLD = ("epoch", "lr", "train_loss", "val_loss", "val_auroc")


def test_an_average_forgets_its_first_weights_and_then_by_its_decay() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average = Average(model, 0.5)
    wanted = 0.0
    for step, value in enumerate((8.0, 4.0, 2.0, 1.0, 3.0, 5.0, 7.0, 9.0, 2.0, 1.0, 1.0)):
        decay = 0.0 if step == 0 else min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * value
        model[0].weight.data.fill_(value)
        model[1].running_mean.fill_(-value)
        average.update(model)
        assert average.model[0].weight.item() == pytest.approx(wanted)
        assert average.model[1].running_mean.item() == pytest.approx(-wanted)
    assert average.updates == 11


def test_a_run_with_every_ingredient_goes_on_to_the_bit(packed: Dataset, tmp_path: Path) -> None:
    first = run(packed, tmp_path / "a", *COMMON, *ALL)
    start = f"run.start_from={first.checkpoints()[2]}"
    again = run(packed, tmp_path / "b", *COMMON, *ALL, start)
    one, two = ([[row[key] for key in TOLD] for row in each.history()] for each in (first, again))
    assert one == two
    a, b = (
        safetensors.torch.load_file(f"{folder.checkpoints()[3]}/model.safetensors")
        for folder in (first, again)
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_average_is_what_is_judged_and_published(packed: Dataset, tmp_path: Path) -> None:
    folder = run(packed, tmp_path, *COMMON, "train.ema=0.9", "train.final=last")
    row, place = folder.history()[-1], folder.checkpoints()[3]
    found = evaluation.evaluate(folder.best_model, None, "val")
    assert found.calibration["before"]["loss"] == pytest.approx(row["val_loss"], abs=1e-5)
    states = torch.load(f"{place}/state.pt", weights_only=True)
    published = safetensors.torch.load_file(folder.best_model)
    assert states["updates"] == 3 * row["steps"]
    assert not torch.equal(states["trained"]["features.0.weight"], published["features.0.weight"])
    assert cards.read(folder.best_model).ema == 0.9
    assert b"averaged over steps (0.9)" in storage.read(f"{folder.uri}/best/MODEL_CARD.md")
    assert "Weights averaged over steps, decay 0.9." in render(report_of(folder))


def test_a_run_takes_up_another_ones_weights_with_and_without_an_average(
    packed: Dataset, tmp_path: Path
) -> None:
    """Without one it goes on from the trained weights, to which the moments belong."""
    plain = run(packed, tmp_path / "plain", *COMMON)
    with_one = run(packed, tmp_path / "ema", *COMMON, "train.ema=0.9")
    started = run(packed, tmp_path / "c", *COMMON, f"run.start_from={with_one.checkpoints()[2]}")
    third = [each.history()[2]["train_loss"] for each in (plain, with_one, started)]
    assert third[0] == third[1] == third[2], "an average changes nothing of the training"
    words = (*COMMON, "train.ema=0.9", f"run.start_from={plain.checkpoints()[2]}")
    row = run(packed, tmp_path / "d", *words).history()[2]
    assert row["train_loss"] == third[0]
    assert row["val_loss"] != plain.history()[2]["val_loss"]

"""What a recipe may add to training, each by hand, and all of them in a run that is begun again."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayograph import storage
from rayograph.config import PackOptions, RunConfig
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate import evaluation, inference
from rayograph.evaluate import model as loaded
from rayograph.models.build import build, head
from rayograph.pack import phantom_records
from rayograph.report.load import report_of
from rayograph.report.page import render
from rayograph.runs.folder import RunFolder
from rayograph.train import checks, losses, optim
from rayograph.train.estimate import estimate
from tests.conftest import packing
from tests.unit.test_train import run

ALL = (
    "train.stress=true", "train.label_smoothing=0.1", "train.head_epochs=1", "optim.name=sgd",
    "optim.backbone_lr=0.5", "augment.level=strong",
)  # fmt: skip
COMMON = ("train.epochs=3", "train.final=last", "checkpoint.keep=all", "optim.lr=1e-3")
TOLD = ("epoch", "lr", "train_loss", "val_loss", "val_auroc")


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
    judged_as_published(first, packed)


def judged_as_published(folder: RunFolder, data: Dataset) -> None:
    """Its scores, plain and under stress, are what the run's last row says."""
    row = folder.history()[-1]
    found = evaluation.evaluate(folder.best_model, None, "val")
    assert found.calibration["before"]["loss"] == pytest.approx(row["val_loss"], abs=1e-5)
    published = loaded.load(folder.best_model, torch.device("cpu"))
    whole, momenta = (
        sum(tensor.nbytes for tensor in tensors)
        for tensors in (published.network.state_dict().values(), published.network.parameters())
    )
    needs = estimate(folder.config(), data, 0, films_per_s=100)
    assert needs.checkpoint_bytes == whole + momenta
    assert needs.seconds == pytest.approx(3 * (needs.films + 3 * needs.validation_films) / 100)
    stressed = (
        inference.here(published.network, data, "val", each, published.task.outputs)
        for each in published.transform.stressed()
    )
    scores = [
        published.task.quick(each.labels, each.values.astype(np.float64)) for each in stressed
    ]
    worst = min(score["balanced_accuracy"] for score in scores)
    assert row["val_stress"] == pytest.approx(worst)
    card = storage.read(f"{folder.uri}/best/MODEL_CARD.md").decode()
    assert f"| Score under stress | {worst:.3f} |" in card
    page = render(report_of(folder))
    assert page.count("Validation score under stress") == 1
    assert page.count("validation score under stress") > 1  # the chart's legend, its description


def test_records_know_no_stress(tmp_path: Path) -> None:
    phantom_records.write(tmp_path / "r.csv", 10, seed=0)
    options = PackOptions(
        inputs="table", task="multilabel", label_columns=("strenuous",), exclude=("exercise",)
    )
    data = packing(tmp_path / "r.csv", tmp_path / "packed", options)
    words = ["model.name=mlp", "train.batch_size=8"]
    with pytest.raises(UserError, match=r"train.stress=true: .* has no films"):
        checks.check_run(RunConfig.load(None, [*words, "train.stress=true"]), data)
    with pytest.raises(UserError, match=r"select=val_stress: only train.stress=true gives it"):
        RunConfig.load(None, [*words, "train.select=val_stress"])


@settings(max_examples=25)
@given(st.floats(0, 0.9), st.integers(0, 2**31))
def test_smoothing_is_in_the_gradient_and_not_in_the_loss_that_is_told(
    smoothing: float, seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, 3, generator=draws, requires_grad=True)
    truth = torch.randint(0, 3, (5,), generator=draws)
    one = nn.functional.one_hot(truth, 3)
    told, aimed = losses.CrossEntropy(torch.tensor([1.0, 2.0, 3.0]), smoothing)(logits, one)
    (gradient,) = torch.autograd.grad(aimed.sum(), logits)
    wanted = logits.softmax(1) - (1 - smoothing) * one - smoothing / 3
    assert torch.allclose(gradient, wanted * (truth + 1)[:, None], atol=1e-5)
    assert torch.allclose(told, -logits.log_softmax(1)[range(5), truth], atol=1e-5)
    states = torch.randint(-2, 2, (5, 3), generator=draws, dtype=torch.int8)
    told, aimed = losses.MaskedCrossEntropy(None, None, smoothing)(logits, states)
    (gradient,) = torch.autograd.grad(aimed.sum(), logits)
    known = states >= 0
    wanted = logits.sigmoid() - (1 - smoothing) * (states == 1).float() - smoothing / 2
    wanted = wanted * known / known.sum(1, keepdim=True).clamp(min=1)
    assert torch.allclose(gradient, wanted, atol=1e-5)
    assert torch.equal(told, losses.MaskedCrossEntropy(None, None)(logits, states)[0])


def stepped(*words: str) -> list[tuple[float, float]]:
    """How far six steps of a gradient of one move the last layer and the backbone, at most."""
    common = ("model.name=cnn", "model.width=2", "model.depth=1", "train.epochs=2")
    config = RunConfig.load(None, [*common, "optim.warmup_epochs=0", *words])
    model = build(config.model, (1, 16, 16), 2)
    optimizer, schedule = optim.build(model, config, 3)
    last = [*head(model, "cnn").parameters()]
    rest = [p for p in model.parameters() if all(p is not other for other in last)]
    found = []
    for _ in range(6):
        before = [[p.detach().clone() for p in part] for part in (last, rest)]
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
        schedule.step()
        moves = (
            max((p.detach() - old).abs().max().item() for p, old in zip(part, olds, strict=True))
            for part, olds in zip((last, rest), before, strict=True)
        )
        found.append(tuple(moves))
    return found


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_the_backbone_joins_after_the_epochs_of_the_last_layer(name: str) -> None:
    moved = stepped("train.head_epochs=1", f"optim.name={name}", "optim.lr=0.01")
    assert [backbone == 0 for _, backbone in moved] == [True] * 3 + [False] * 3
    assert all(last > 0 for last, _ in moved)


def test_the_backbone_has_its_part_of_the_learning_rate() -> None:
    plain = ("optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0", "optim.lr=0.5")
    for last, backbone in stepped(*plain, "optim.schedule=constant", "optim.backbone_lr=0.1"):
        assert (last, backbone) == (pytest.approx(0.5), pytest.approx(0.05))


def test_sgd_has_nesterovs_momentum() -> None:
    plain = ("optim.name=sgd", "optim.weight_decay=0", "optim.lr=0.1", "optim.schedule=constant")
    velocity = 0.0
    for last, _ in stepped(*plain, "optim.momentum=0.5"):
        velocity = 0.5 * velocity + 1
        assert last == pytest.approx(0.1 * (1 + 0.5 * velocity))


def test_options_that_leave_the_backbone_nothing_to_train_are_refused() -> None:
    for words in (["train.head_epochs=1"], ["optim.backbone_lr=0.1"]):
        with pytest.raises(UserError, match="freeze_backbone=true trains the last layer only"):
            RunConfig.load(None, ["model.freeze_backbone=true", *words])
    with pytest.raises(UserError, match=r"head_epochs=2 leaves the backbone none of train.epochs"):
        RunConfig.load(None, ["train.head_epochs=2", "train.epochs=2"])


@pytest.mark.parametrize(
    ("words", "norm"),
    [
        ((), "batch"),
        (("cluster.gpus_per_worker=1",), "batch"),
        (("cluster.gpus_per_worker=1", "cluster.workers=[1, 4]"), "sync"),
        (("cluster.gpus_per_worker=1", "cluster.workers=4", "train.micro_batch=4"), "batch"),
    ],
)
def test_the_norm_is_chosen_by_the_machines(words: tuple[str, ...], norm: str) -> None:
    assert RunConfig.load(None, ["model.norm=auto", *words]).settled().model.norm == norm
    kept = RunConfig.load(None, ["model.norm=group", *words])
    assert kept.settled() is kept


def test_moments_of_another_optimizer_are_refused(packed: Dataset, tmp_path: Path) -> None:
    first = run(packed, tmp_path / "a", "train.epochs=1")
    start = f"run.start_from={first.checkpoints()[1]}"
    with pytest.raises(UserError, match=r"not the optimizer of this run: it is not of SGD"):
        run(packed, tmp_path / "b", "train.epochs=2", start, "optim.name=sgd")

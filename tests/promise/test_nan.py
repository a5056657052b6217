"""`train.on_nan`, on two workers: a film that a model cannot bear, and a model that bears none."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from rayograph.config import ModelOptions, PackOptions, RunConfig
from rayograph.data import index, order
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged
from rayograph.models.build import build
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.stops import deaf
from tests import ranks
from tests.conftest import packing

FILMS, BATCH, STEPS = 40, 4, 10
WHITE = "white.png"


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Films of much the same gray, and one white film to train on."""
    folder, draws = tmp_path_factory.mktemp("gray"), np.random.default_rng(0)
    for part, count in (("train", FILMS), ("val", 8), ("test", 8)):
        for number in range(count):
            place = folder / "films" / part / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            film = draws.integers(60, 80, (32, 32), dtype=np.uint8)
            name = f"{part}{number}.png"
            if (part, number) == ("train", 0):
                film, name = film + 175, WHITE
            Image.fromarray(film).save(place / name)
    return packing(folder / "films", folder / "packed", PackOptions(size=32, negative="a"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a model whose first layer overflows float32 on a white film, and on no gray one."""
    torch.manual_seed(0)
    state = build(ModelOptions(name="cnn", width=8, depth=2), (1, 32, 32), 2).state_dict()
    state["features.0.weight"].zero_()[:, :, 1, 1] = 1e38  # a gray film is up to 1, a white one 6
    state["features.1.running_var"].fill_(1e38)
    state["features.4.weight"] *= 1e-19
    place = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, place)
    return str(place)


def seed(data: Dataset, step: int) -> int:
    """A seed with which the white film comes in that step of the first epoch."""
    names = index.read(data, "train").column("sample_id").to_pylist()
    row = next(row for row, name in enumerate(names) if WHITE in name)
    part, print_ = data.split("train"), data.manifest.fingerprint
    plans = ((s, order.plan(part.batch_rows, BATCH, print_, s, 0)) for s in range(1000))
    return next(s for s, plan in plans if row in plan.batch(step))


def words(data: Dataset, weights: str, policy: str, step: int) -> tuple[str, ...]:
    return (
        f"train.seed={seed(data, step)}", f"train.batch_size={BATCH}", "train.epochs=1",
        f"train.on_nan={policy}", f"model.weights={weights}", "model.freeze_backbone=true",
        "augment.shift=0", "augment.rotation=0", "augment.brightness=0", "optim.warmup_epochs=0",
    )  # fmt: skip


def last(runs: Path) -> tuple[dict[str, float], set[float], bool]:
    """A run's only row, how often the optimizer has stepped, and whether all weights are finite."""
    folder = RunFolder(str(runs / "demo"))
    place = folder.checkpoints()[1]
    states = torch.load(f"{place}/state.pt", weights_only=True)["optimizer"]["state"]
    tensors = safetensors.torch.load_file(f"{place}/model.safetensors")
    finite = all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    return folder.history()[0], {float(s["step"]) for s in states.values()}, finite


def test_a_step_without_a_loss_is_named_counted_and_changes_nothing(
    gray: Dataset, weights: str, tmp_path: Path
) -> None:
    output = ranks.train(2, tmp_path, gray, *words(gray, weights, "skip", 6)).finish()
    assert "epoch 1, step 7: the loss is nan; train.on_nan=skip" in output
    assert "  1 steps skipped  " in output
    row, stepped, finite = last(tmp_path)
    assert (row["skipped"], row["films"], row["steps"]) == (1, FILMS - BATCH, STEPS)
    assert finite
    assert stepped == {STEPS - 1}


def test_restoring_goes_back_to_what_was_saved_and_on_with_the_next_films(
    gray: Dataset, weights: str, tmp_path: Path
) -> None:
    given = (*words(gray, weights, "restore", 6), "checkpoint.every=5 steps")
    output = ranks.train(2, tmp_path, gray, *given).finish()
    assert "epoch 1, step 7: the loss is nan; train.on_nan=restore" in output
    row, stepped, finite = last(tmp_path)
    assert (row["skipped"], row["films"]) == (1, FILMS - BATCH), "no film twice"
    assert finite
    assert stepped == {STEPS - 2}, "the step after the snapshot is undone, too"


@pytest.mark.parametrize(
    ("policy", "every", "reason"),
    [
        ("skip", "1", r"step 6: the loss is nan, and 6 of this epoch's 10 steps were skipped"),
        ("restore", "1", r"step 1: the loss is (inf|nan); no checkpoint yet to restore"),
        (  # snapshots are written beside: how old the newest one is decides which comes first
            "restore", "1 steps",
            r"(step \d+: the loss is (inf|nan), and 6 of this epoch's 10 steps|validation: 8 of 8)",
        ),
    ],
)  # fmt: skip
def test_a_loss_that_stays_no_number_ends_the_run(
    policy: str, every: str, reason: str, gray: Dataset, tmp_path: Path
) -> None:
    """Weights that are infinite; or that each step from a saved one makes larger."""
    state = build(ModelOptions(name="cnn", width=8, depth=2), (1, 32, 32), 2).state_dict()
    if every == "1":
        state["features.0.weight"].fill_(torch.inf)
    else:
        state["classifier.2.weight"].fill_(1e36)
    place = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, place)
    given = [
        f"data.uri={gray.uri}", f"run.storage={tmp_path}", "data.image_size=32", "model.name=cnn",
        "model.width=8", "model.depth=2", f"checkpoint.every={every}",
        "optim.lr=10", "optim.weight_decay=10",
    ]  # fmt: skip
    config = RunConfig.load(None, [*given, *words(gray, str(place), policy, 0)])
    with pytest.raises(Diverged, match=rf"epoch 1, {reason}"):
        local.run(config, lambda _row: None, deaf)

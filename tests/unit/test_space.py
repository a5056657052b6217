"""Search spaces: what they refuse, and what they propose."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision import models as zoo

from rayograph.config import SweepConfig
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.search import space as spaces
from rayograph.search.space import Domain, Space

SHIPPED = ("paper", "asha", "optuna", "pbt")


def checked(tmp_path: Path, text: str, *overrides: str) -> tuple[Space, SweepConfig]:
    (tmp_path / "mine.yaml").write_text(text)
    found = spaces.read(str(tmp_path / "mine.yaml"))
    config = SweepConfig.load(None, [*found.overrides, *overrides])
    return spaces.check(found, config), config


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_spaces_fit_the_preset_that_they_name(name: str) -> None:
    found = spaces.read(name)
    config = SweepConfig.load("covid345", found.overrides)
    assert spaces.check(found, config).domains
    assert spaces.trials(found, config) == (8 if name in ("paper", "pbt") else 16)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to search"),
        ("train.epochs: 3", "nothing to search"),
        ("optim.rl: {uniform: [1, 2]}", "optim.rl: unknown key; did you mean optim.lr?"),
        ("optim.lr: {uniformly: [1, 2]}", "unknown domain .*; there are uniform"),
        ("optim.lr: {uniform: 1}", "uniform takes a list"),
        ("optim.lr: {uniform: [1]}", r"takes \[low, high\], not \['1'\]"),
        ("optim.lr: {uniform: [a, b]}", r"takes \[low, high\]"),
        ("optim.lr: {uniform: [1e-2, 1e-3]}", "1e-2 is not below 1e-3"),
        ("optim.lr: {loguniform: [0, 1]}", "loguniform: "),
        ("optim.lr: {uniform: [0.1, 100]}", "optim.lr=100.0: .*less than or equal to 10"),
        ("optim.lr: {quniform: [0, 1, 0.3]}", "quniform: "),
        ("optim.lr: {quniform: [0.1, 1, 0]}", "the step must be above 0, not 0"),
        ("optim.lr: {quniform: [0.1, 1, 1e-320]}", "quniform: "),
        ("~: {uniform: [1, 2]}", "must be a mapping"),
        ("optim: {lr: 3}", "optim: write the whole key, such as optim.lr"),
        ("sweep.searcher: grid\noptim.lr: {grid: [1e-3, 0.001]}", "0.001 appears twice"),
        (
            f"sweep.searcher: grid\ntrain.seed: {{grid: {list(range(1000))}}}\n"
            "augment.flip: {grid: [0, 1]}\nmodel.dropout: {grid: [0, 0.1, 0.2, 0.3, 0.4, 0.5]}",
            "a grid of 12,000 trials; give sweep.max_trials",
        ),
        ("train.epochs: {uniform: [1, 8]}", "train.epochs=3.67.*: .*integer"),
        ("optim.name: {choice: [adam, lion]}", "optim.name=lion: "),
        ("model.norm: {choice: []}", "choice takes one or more plain values"),
        ("model.width: {choice: [[8], 16]}", "choice takes one or more plain values"),
        ("train.batch_size: {choice: [1]}", "train.batch_size=1: "),
        ("run.name: {choice: [a, b]}", "run.name: cannot be searched"),
        ("cluster.workers: {choice: [1, 2]}", "cluster.workers: cannot be searched"),
        ("train.select: {choice: [val_loss]}", "train.select: cannot be searched"),
        ("optim.lr: {grid: [1, 2]}", "grid needs sweep.searcher=grid"),
        ("sweep.searcher: grid\noptim.lr: {choice: [1]}", "sweep.searcher=grid needs grid"),
        (
            "sweep.searcher: grid\nmodel.width: {grid: [8]}\noptim.lr: {uniform: [1, 2]}",
            "optim.lr: uniform cannot be part of a grid",
        ),
        (
            "sweep.searcher: optuna\noptim.lr: {qloguniform: [1e-3, 1, 1e-3]}",
            "optuna has no qloguniform",
        ),
        ("sweep.scheduler: pbt\nmodel.width: {choice: [8, 16]}", "model.width: pbt hands weights"),
        (
            "sweep.scheduler: pbt\nsweep.searcher: optuna\noptim.lr: {uniform: [1, 2]}",
            "pbt needs random",
        ),
        ("- optim.lr", "must be a mapping"),
        ("sweep.scheduler: hyperband\noptim.lr: {uniform: [1, 2]}", "sweep.scheduler=hyperband: "),
    ],
)
def test_a_space_that_cannot_be_searched_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words) as error:
        checked(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_space_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"^papr: no such space; did you mean paper"):
        spaces.read("papr")


def test_a_combination_that_the_config_refuses_is_found_before_anything_starts(
    tmp_path: Path,
) -> None:
    text = "sweep.searcher: grid\ntrain.batch_size: {grid: [8, 4]}\noptim.lr: {grid: [1e-3]}"
    with pytest.raises(UserError, match=r"train.batch_size=4 is too small for cluster.workers=4"):
        checked(tmp_path, text, "cluster.workers=4")


def test_a_grid_is_every_combination_once_with_the_options_own_types(tmp_path: Path) -> None:
    text = (
        "sweep.searcher: grid\ntrain.batch_size: {grid: [32, 60]}\nmodel.norm: {grid: [batch, "
        "group]}\noptim.clip_norm: {grid: [null, 1]}"
    )
    space, config = checked(tmp_path, text)
    points = [space.point(number, 0) for number in range(spaces.trials(space, config))]
    assert len({tuple(point.values()) for point in points}) == len(points) == 8
    assert points[0] == {"train.batch_size": 32, "model.norm": "batch", "optim.clip_norm": None}
    assert points[-1] == {"train.batch_size": 60, "model.norm": "group", "optim.clip_norm": 1.0}


RANGES = {
    "optim.lr": Domain("loguniform", (1e-5, 1e-1)),
    "augment.rotation": Domain("quniform", (0.0, 15.0, 5.0)),
    "train.epochs": Domain("randint", (2, 5)),
    "train.batch_size": Domain("qrandint", (16, 64, 16)),
    "model.norm": Domain("choice", ("batch", "group")),
}


@given(st.integers(0, 10_000), st.integers(0, 3))
def test_random_points_lie_in_the_space_and_depend_on_number_and_seed_alone(
    number: int, seed: int
) -> None:
    space = Space("s", RANGES, ())
    point = space.point(number, seed)
    assert point == space.point(number, seed) != space.point(number + 1, seed)
    assert 1e-5 <= point["optim.lr"] <= 1e-1
    assert point["augment.rotation"] in (0, 5, 10, 15)
    assert point["train.epochs"] in (2, 3, 4)
    assert point["train.batch_size"] in (16, 32, 48, 64)
    assert {key: domain.clip(point[key]) for key, domain in RANGES.items()} == point
    spaces.applied(SweepConfig(), point)


def test_perturbed_values_come_back_into_their_range() -> None:
    assert RANGES["optim.lr"].clip(0.12) == 0.1
    assert RANGES["optim.lr"].clip(1e-9) == 1e-5
    assert RANGES["train.epochs"].clip(9) == 4
    assert RANGES["augment.rotation"].clip(6.1) == 5
    assert RANGES["train.batch_size"].clip(41) == 48


def test_a_space_that_is_not_text_or_has_no_plain_name_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"optim.lr: \xff\xfe")
    with pytest.raises(UserError, match=r"binary.yaml: not YAML: not text in UTF-8"):
        spaces.read(str(tmp_path / "binary.yaml"))
    (tmp_path / "my space (1).yaml").write_text("optim.lr: {uniform: [1, 2]}")
    with pytest.raises(UserError, match="names the sweep"):
        spaces.read(str(tmp_path / "my space (1).yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model.name: {choice: [resnet18, rezznet]}", "model.name=rezznet: no such model"),
        ("model.weights: {choice: [/nowhere.pth]}", "model.weights=/nowhere.pth: not found"),
        ("data.image_size: {choice: [16, 32]}", "nothing is left of 16 pixels"),
    ],
)
def test_a_model_that_the_dataset_cannot_train_is_refused(
    text: str, words: str, tmp_path: Path, packed: Dataset
) -> None:
    found, config = checked(tmp_path, text, "model.name=cnn", "model.depth=5")
    with pytest.raises(UserError, match=words):
        spaces.check_runs(found, config, packed)


def test_each_value_is_tried_where_trials_have_it(tmp_path: Path, packed: Dataset) -> None:
    torch.save(zoo.resnet18().state_dict(), tmp_path / "w.pth")
    text = "model.name: {choice: [resnet18, cnn]}\nmodel.weights: {choice: [WEIGHTS]}"
    text = text.replace("WEIGHTS", str(tmp_path / "w.pth"))
    found, config = checked(tmp_path, text, "model.name=cnn")
    spaces.check_runs(found, config, packed)  # no trial of resnet18 is refused for cnn's sake
    found, config = checked(tmp_path, "train.micro_batch: {choice: [8, 1]}", "data.image_size=32")
    with pytest.raises(UserError, match="a worker of 1 gets a single film"):
        spaces.check_runs(found, config, packed)

"""`train.precision=auto`: the same rule for the same model, kept by the run that has begun."""

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rayograph.config import ModelOptions, PackOptions, RunConfig
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.evaluate import evaluation
from rayograph.models.build import build
from rayograph.pack import phantom
from rayograph.runs import history
from rayograph.runs.folder import ENVIRONMENT, RunFolder
from rayograph.train import local, precision
from rayograph.train.precision import Work
from rayograph.train.stops import deaf
from rayograph.train.world import World
from tests.conftest import packing

T = TypeVar("T")
CPU = torch.device("cpu")
GAINS = ("model.width=32", "model.depth=3")  # 9 million multiply-adds at 32 pixels


class Interrupted(Exception):
    """A run is ended after an epoch."""


class Mixed(World):
    """Two workers, of which the other one has no bfloat16."""

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, act: Callable[[], T], everyone: bool = False) -> T:
        return act()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("precision")
    phantom.write(place / "films", 160, seed=4, size=32)
    options = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)
    return packing(place / "films", place / "packed", options)


def settings(data: Dataset, runs: Path, *words: str) -> RunConfig:
    common = ["data.image_size=32", "model.name=cnn", "train.epochs=2", "train.batch_size=40"]
    places = [f"data.uri={data.uri}", f"run.storage={runs}"]
    return RunConfig.load(None, [*common, *places, *GAINS, *words])


def train(data: Dataset, runs: Path, *words: str) -> RunFolder:
    return local.run(settings(data, runs, *words), lambda _row: None, deaf)


def interrupted(data: Dataset, runs: Path, *words: str) -> RunFolder:
    """A run that has ended after its first epoch."""

    def end(_row: Mapping[str, Any]) -> None:
        raise Interrupted

    config = settings(data, runs, *words)
    with pytest.raises(Interrupted):
        local.run(config, end, deaf)
    return RunFolder.of(config)


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, RunFolder]:
    """Undisturbed runs, by precision."""
    runs = tmp_path_factory.mktemp("whole")
    words = ("float32", "bf16")
    return {word: train(data, runs / word, f"train.precision={word}") for word in words}


def figures(run: RunFolder) -> list[list[Any]]:
    return [[row[n] for n in ("train_loss", "val_loss", "val_auroc")] for row in run.history()]


def assert_the_same(run: RunFolder, other: RunFolder) -> None:
    """Two runs have learned the same, to the bit."""
    assert figures(run) == figures(other)
    assert weights(run) == weights(other)


def weights(run: RunFolder) -> bytes:
    """The tensors of the best model, without the header that names the run's place."""
    file = Path(run.best_model).read_bytes()
    return file[8 + int.from_bytes(file[:8], "little") :]


def taken(run: RunFolder) -> tuple[str, str]:
    """What the run's config says, and why."""
    environment = json.loads(Path(run.uri, ENVIRONMENT).read_text())
    assert "torch" in environment["versions"]
    assert environment["precision"]["taken"] == run.config().train.precision
    return run.config().train.precision, environment["precision"]["because"]


def work(options: ModelOptions, shape: tuple[int, ...]) -> Work:
    with torch.device("meta"):
        return Work.of(build(options, shape, 2), shape)


def test_multiply_adds_are_those_that_torch_counts() -> None:
    grouped, depthwise = nn.Conv2d(8, 12, 3, groups=4), nn.Conv2d(12, 24, 5, stride=2, groups=12)
    head = nn.Sequential(nn.Flatten(), nn.Linear(24 * 9, 3))
    network = nn.Sequential(nn.Conv2d(1, 8, 3), grouped, depthwise, head)
    network.to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 1, 14, 14, device="meta"))
    found = Work.of(network, (1, 14, 14))
    assert found.multiply_adds == counter.get_total_flops() // 2
    assert found.depthwise == 3 * 3 * depthwise.weight.numel()


@pytest.mark.parametrize(
    ("name", "gains"),
    [
        ("cnn", True), ("resnet18", True), ("resnet50", True), ("densenet121", True),
        ("convnext_tiny", False), ("efficientnet_b0", False), ("efficientnet_v2_s", False),
        ("mlp", False),
    ],
)  # fmt: skip
def test_the_rule_takes_what_was_measured_to_be_faster(name: str, gains: bool) -> None:
    """docs/performance.md has the figures."""
    shape = (30,) if name == "mlp" else (1, 64, 64)
    assert work(ModelOptions(name=name), shape).gains(32) is gains


def test_a_batch_of_few_films_stays_as_it_is() -> None:
    found = work(ModelOptions(name="resnet18"), (1, 64, 64))
    assert not found.gains(4)


def test_a_tiny_network_stays_as_it_is() -> None:
    found = work(ModelOptions(name="cnn", width=8, depth=2), (1, 32, 32))
    assert not found.gains(64)
    assert found.depthwise == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is x86's")
def test_torch_says_whether_a_cpu_has_amx() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    assert precision.capable(CPU) is ("amx_bf16" in flags)


def test_the_choice_is_written_and_a_resumed_run_is_the_undisturbed_one_to_the_bit(
    data: Dataset, whole: Mapping[str, RunFolder], tmp_path: Path
) -> None:
    run = interrupted(data, tmp_path)
    expected = "bf16" if precision.capable(CPU) else "float32"
    assert taken(run)[0] == expected
    other = "float32" if expected == "bf16" else "bf16"
    with pytest.raises(UserError, match=r"with a different train\.precision"):
        train(data, tmp_path, f"train.precision={other}")
    train(data, tmp_path)
    assert taken(run) == (expected, "the run was begun in it")
    assert_the_same(run, whole[expected])


@pytest.mark.parametrize("begun", ["float32", "bf16"])
def test_a_run_keeps_what_it_was_begun_with_wherever_it_goes_on(
    begun: str, data: Dataset, whole: Mapping[str, RunFolder], tmp_path: Path
) -> None:
    run = interrupted(data, tmp_path, f"train.precision={begun}")
    train(data, tmp_path, "train.precision=auto")
    assert taken(run) == (begun, "the run was begun in it")
    assert_the_same(run, whole[begun])


def test_a_run_of_a_version_that_took_float32_on_cpus_goes_on_in_it(
    data: Dataset, tmp_path: Path
) -> None:
    config = settings(data, tmp_path)
    folder = RunFolder.of(config)
    folder.begin(config)
    assert folder.config().train.precision == "auto", "as such a version has left it"
    found = precision.settled(config, folder, data, World(0, 1, CPU), begun=True)
    assert found.train.precision == taken(folder)[0] == "float32"


def test_bfloat16_is_taken_only_where_all_workers_have_it(data: Dataset, tmp_path: Path) -> None:
    config = settings(data, tmp_path)
    folder = RunFolder.of(config)
    folder.begin(config)
    found = precision.settled(config, folder, data, Mixed(0, 2, CPU), begun=False)
    assert found.train.precision == "float32"
    assert taken(folder)[1].startswith("not all workers have")


def test_what_validation_says_is_what_evaluate_says_wherever_that_runs(
    whole: Mapping[str, RunFolder],
) -> None:
    """Training in bfloat16 rounds; the model that it gives is judged in float32, as it is used."""
    run = whole["bf16"]
    row, other = (each.history()[0]["train_loss"] for each in (run, whole["float32"]))
    assert row != other
    assert row == pytest.approx(other, rel=0.02)
    best = history.best(run.history(), run.config().train.leader)
    assert best is not None
    found = evaluation.evaluate(run.best_model, None, "val")
    assert found.calibration["before"]["loss"] == pytest.approx(best["val_loss"], abs=1e-5)

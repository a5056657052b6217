"""Linear probes: the features of a frozen model are computed once, and change nothing else."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from rayograph.config import ModelOptions, PackOptions, RunConfig
from rayograph.data import transforms
from rayograph.data.dataset import Dataset
from rayograph.evaluate import evaluation
from rayograph.models import build
from rayograph.pack import phantom, phantom_records
from rayograph.runs.folder import RunFolder
from rayograph.train import local
from rayograph.train.feed import features_bytes
from rayograph.train.stops import StopRequest, deaf
from tests import ranks
from tests.conftest import packing
from tests.small import SIZE, WORDS

STILL = (
    "augment.scale=[1,1]", "augment.shift=0", "augment.rotation=0", "augment.brightness=0",
    "augment.contrast=0",
)  # fmt: skip
PROBE = (
    *WORDS, *STILL, "model.freeze_backbone=true", "model.dropout=0.3", "train.epochs=3",
    "optim.lr=1e-2", "checkpoint.keep=all",
)  # fmt: skip
CHANGED = "augment.brightness=1e-9"  # by which no film differs, and features are not kept
FIGURES = ("train_loss", "val_loss", "train_accuracy", "val_auroc")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("probe")
    phantom.write(place / "films", 200, seed=4, size=SIZE)
    options = PackOptions(size=SIZE, patient_pattern=phantom.PATIENT_PATTERN)
    return packing(place / "films", place / "packed", options)


def words(data: Dataset, place: Path, *more: str) -> list[str]:
    return [f"data.uri={data.uri}", f"run.storage={place}", *PROBE, *more]


def run(
    data: Dataset,
    place: Path,
    *more: str,
    show: Callable[[Mapping[str, Any]], None] = lambda _row: None,
) -> RunFolder:
    return local.run(RunConfig.load(None, words(data, place, *more)), show, deaf)


def history(folder: RunFolder) -> list[dict[str, Any]]:
    """The rows, without times and names."""
    return [
        {
            k: v
            for k, v in row.items()
            if not k.endswith("_s") and k not in ("seconds", "checkpoint")
        }
        for row in folder.history()
    ]


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder.best_model)


def films(data: Dataset) -> int:
    return data.split("train").rows + data.split("val").rows


@pytest.fixture(scope="module")
def probe(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run(data, tmp_path_factory.mktemp("whole"))


def test_the_losses_and_the_films_of_each_step_are_those_of_the_films_themselves(
    data: Dataset, probe: RunFolder, tmp_path: Path
) -> None:
    every = run(data, tmp_path, CHANGED)
    assert [row.get("features_computed") for row in every.history()] == [None] * 3
    assert [row.get("features_computed") for row in probe.history()] == [films(data), None, None]
    for a, b in zip(every.history(), probe.history(), strict=True):
        assert {a["films"], b["films"]} == {data.split("train").rows}
        assert a["films_digest"] == b["films_digest"]
        for name in FIGURES:
            assert a[name] == pytest.approx(b[name], abs=1e-4), name
    below = {name for name in weights(probe) if not name.startswith(("classifier.2", "unlike."))}
    assert len(below) > 5
    for name, tensor in weights(every).items():
        close = torch.equal if name in below else torch.allclose
        assert close(tensor, weights(probe)[name]), name
    one, other = (json.loads(Path(f.uri, "best/model.json").read_text()) for f in (every, probe))
    for name, limit in one["unlike"].items():
        assert limit == pytest.approx(other["unlike"][name], rel=1e-3), name
    assert {"features", "grays"} == set(one["unlike"])


def test_no_film_is_read_after_the_first_epoch(
    data: Dataset, probe: RunFolder, tmp_path: Path
) -> None:
    place = tmp_path / "packed"
    shutil.copytree(data.uri, place)

    def show(row: Mapping[str, Any]) -> None:
        for part in ("train", "val"):
            shutil.rmtree(place / part, ignore_errors=True)

    assert history(run(Dataset.open(str(place)), tmp_path, show=show)) == history(probe)
    assert not (place / "train").exists()


def test_a_run_that_was_stopped_computes_nothing_again_and_equals_the_whole_to_the_bit(
    data: Dataset, probe: RunFolder, tmp_path: Path
) -> None:
    for kept in (True, False):  # also where the features are lost, and computed again
        stop = StopRequest()

        @contextmanager
        def listen(stop: StopRequest = stop) -> Iterator[StopRequest]:
            yield stop

        config = RunConfig.load(None, words(data, tmp_path / str(kept)))
        with pytest.raises(SystemExit):
            local.run(config, lambda _row, stop=stop: stop.asked.set(), listen)  # after an epoch
        folder = RunFolder.of(config)
        (features,) = Path(folder.uri, "features").glob("train-*.safetensors")
        assert len(folder.history()) == 1
        if not kept:
            shutil.rmtree(features.parent)
        local.run(config, lambda _row: None, deaf)
        rows = history(folder)
        assert rows[1].pop("features_computed", 0) == (0 if kept else films(data))
        assert rows == history(probe)
        assert not list(Path(folder.uri, "features").glob("*")), "a finished run keeps none"
        found = weights(folder)
        assert all(torch.equal(tensor, found[name]) for name, tensor in weights(probe).items())


def test_two_processes_share_the_work_and_take_the_same_batches(
    data: Dataset, probe: RunFolder, tmp_path: Path
) -> None:
    ranks.train(2, tmp_path, data, *PROBE, "model.dropout=0").finish()
    one = run(data, tmp_path / "one", "model.dropout=0")
    two = RunFolder(str(tmp_path / "demo"))
    assert two.history()[0]["features_computed"] == films(data)
    for a, b in zip(one.history(), two.history(), strict=True):
        assert a["films_digest"] == b["films_digest"]
        for name in FIGURES:
            assert a[name] == pytest.approx(b[name], abs=1e-4), name


def test_what_is_published_is_the_whole_network_and_says_what_validation_said(
    data: Dataset, probe: RunFolder
) -> None:
    found = evaluation.evaluate(probe.best_model, None, "val")
    row = probe.history()[found.epoch - 1]
    assert found.calibration["before"]["loss"] == pytest.approx(row["val_loss"], abs=1e-5)
    assert found.metrics["auroc"].value == pytest.approx(row["val_auroc"], abs=1e-5)


@pytest.mark.parametrize(
    ("more", "kept"),
    [((), True), ((CHANGED,), False), (("augment.flip=0.5",), False),
     (("augment.gamma=1.5",), False), (("model.freeze_backbone=false",), False)],
)  # fmt: skip
def test_features_are_kept_only_where_they_never_change(
    data: Dataset, more: tuple[str, ...], kept: bool
) -> None:
    config = RunConfig.load(None, [*PROBE, *more])
    spec = data.transform(config.data, config.evaluate)
    model = build.build(config.model, spec.shape, 2)
    found = features_bytes(config, data, model, transforms.build(spec, config.augment))
    width = 128  # of the CNN's last layer
    assert found == (4 * width * films(data) if kept else None)


def test_features_of_records_are_kept_too(tmp_path: Path) -> None:
    phantom_records.write(tmp_path / "t.csv", people=40, seed=0)
    options = PackOptions(
        inputs="table", patient_column="person", negative="rest", exclude=("strenuous",)
    )
    table = packing(tmp_path / "t.csv", tmp_path / "packed", options)
    words = (f"data.uri={table.uri}", f"run.storage={tmp_path}", "model.name=mlp")
    words += ("model.freeze_backbone=true", "train.epochs=2")
    folder = local.run(RunConfig.load(None, words), lambda _row: None, deaf)
    assert folder.history()[0]["features_computed"] == films(table)


def test_dropout_is_on_above_a_backbone_of_timm_that_is_off() -> None:
    options = ModelOptions(name="timm/regnety_002", dropout=0.5, freeze_backbone=True)
    model = build.build(options, (1, 32, 32), 2).eval()
    film = torch.rand(1, 1, 32, 32)
    assert torch.equal(model(film), model(film))
    build.head(model, options.name).train()
    assert not torch.equal(model(film), model(film))

"""What people see of a run before, while and after it trains."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.console import epochs
from rayograph.data.dataset import Dataset
from rayograph.runs import tensorboard
from rayograph.runs.folder import RunFolder
from rayograph.task.multiclass_metrics import metrics
from rayograph.train import clock, local
from rayograph.train.estimate import estimate
from rayograph.train.stops import deaf

SMALL = ("data.image_size=32", "model.width=8", "model.depth=2", "train.batch_size=200")


@pytest.fixture(scope="module")
def run(packed: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    runs = tmp_path_factory.mktemp("runs")
    words = [f"data.uri={packed.uri}", f"run.storage={runs}", *SMALL, "train.epochs=2"]
    return local.run(RunConfig.load(None, words), lambda _row: None, deaf)


def test_an_epochs_time_is_accounted_for(run: RunFolder, packed: Dataset) -> None:
    for row in run.history():
        parts = [row[f"{part}_s"] for part in clock.PARTS]
        assert all(part >= 0 for part in parts)
        assert row["workers_s"] == 0, "alone"
        trained = packed.split("train").rows / row["films_per_s"]
        assert sum(parts) == pytest.approx(trained, rel=0.05)


def test_a_line_says_what_was_waited_for_and_advises_where_it_was_much() -> None:
    row = {"epoch": 2, "data_s": 1.0, "device_s": 0.0, "compute_s": 8.0, "workers_s": 1.0}
    row["checkpoint_s"] = 0.0
    assert list(epochs.waits(row)) == ["waited 10% for films, 10% for workers"]
    assert "starved" in " ".join(epochs.waits(row | {"data_s": 5.0}))
    assert "starved" not in " ".join(epochs.waits(row | {"data_s": 5.0, "epoch": 1}))
    assert "held up" in " ".join(epochs.waits(row | {"workers_s": 5.0}))
    assert list(epochs.waits(row | {"workers_s": 0.0})) == ["waited 11% for films"]


def test_tensorboard_reads_every_figure_of_every_epoch(run: RunFolder) -> None:
    data = storage.read(f"{run.uri}/tensorboard/{tensorboard.NAME}")
    seen = {}
    while data:  # length, its checksum, an event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            seen[value.tag, event.step] = value.simple_value
    for row in run.history():
        assert seen["loss/val", row["epoch"]] == pytest.approx(row["val_loss"], rel=1e-6)
        assert seen["run/lr", row["epoch"]] == pytest.approx(row["lr"], rel=1e-6)
    assert {tag.partition("/")[0] for tag, _ in seen} == {
        "run",
        *(metric.name for metric in metrics(2)),
    }


def test_an_estimate_is_what_the_run_then_needs(run: RunFolder, packed: Dataset) -> None:
    found = estimate(run.config(), packed, 0, films_per_s=100, price=36)
    assert (found.films, found.steps) == (packed.split("train").rows, 12)
    place = next(iter(run.checkpoints().values()))
    sizes = {Path(e.uri).name: e.size for e in storage.listing(place)}
    assert found.checkpoint_bytes == pytest.approx(
        sizes["model.safetensors"] + sizes["state.pt"], rel=0.05
    )
    assert found.seconds == pytest.approx(2 * (found.films + found.validation_films / 3) / 100)
    assert found.price == pytest.approx(found.seconds / 100)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_read_their_part_of_the_bytes(workers: int, packed: Dataset) -> None:
    words = [f"data.uri={packed.uri}", *SMALL, f"cluster.workers={workers}"]
    found = estimate(RunConfig.load(None, words), packed, 0)
    whole = sum(s.bytes for part in ("train", "val") for s in packed.split(part).shards)
    assert found.bytes_per_worker_and_epoch == pytest.approx(whole / workers, rel=0.1)
    assert "seconds" not in found.to_json()
    epochs = RunConfig.load(None, SMALL).train.epochs
    assert found.bill.bytes == workers * epochs * found.bytes_per_worker_and_epoch
    cached = estimate(RunConfig.load(None, [*words, "data.cache=/tmp/c"]), packed, 0).bill
    small = estimate(
        RunConfig.load(None, [*words, "data.cache=/tmp/c", "data.cache_bytes=1000000"]), packed, 0
    )
    assert small.bill.bytes == found.bill.bytes, "what has no room comes again in each epoch"
    assert 0.9 * whole < cached.bytes <= found.bill.bytes, "each record batch comes once, at least"
    assert cached.usd_from_another_region == pytest.approx(cached.usd + cached.bytes * 2e-11)


def test_activations_grow_with_the_films_of_a_forward_pass(packed: Dataset) -> None:
    def kept(*words: str) -> int:
        given = RunConfig.load(None, [f"data.uri={packed.uri}", *SMALL, *words])
        return estimate(given, packed, 0).memory_per_worker["activations"]

    whole = kept()
    assert whole > 200 * 32 * 32 * 8 * 4, "the first layer's output alone"
    assert kept("cluster.workers=4") == pytest.approx(whole / 4, rel=0.01)
    assert kept("train.micro_batch=10") == pytest.approx(whole / 20, rel=0.01)
    assert kept("model.name=resnet50") > 2 * whole

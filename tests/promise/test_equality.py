"""Contracts 5 to 7, without Ray: the same run on one worker and on many, interrupted or not."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from rayograph.config import AugmentOptions, PackOptions
from rayograph.data import order, stream, transforms
from rayograph.data.dataset import Dataset
from rayograph.data.recipe import ImageTransform
from rayograph.evaluate import evaluation
from rayograph.pack import phantom
from rayograph.runs.folder import RunFolder
from tests import ranks
from tests.conftest import packing

# What float32 sums in another order come to after an epoch of Adam: 1e-9 to 2e-4 was seen.
ROUNDING = {"train_loss": 3e-4, "val_loss": 2e-3}
GROUP = ("model.norm=group", "train.batch_size=10", "train.epochs=1")


def history(run: Path) -> list[dict[str, float]]:
    """The rows of a run, without what depends on the machine's mood."""
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [
        {
            k: v
            for k, v in row.items()
            if not k.endswith("_s") and k not in ("seconds", "checkpoint")
        }
        for row in rows
    ]


def kept(batches: Iterable[stream.Batch]) -> list[stream.Batch]:
    """All batches; their films are copied, since the next one takes their place."""
    return [replace(batch, inputs=batch.inputs.copy()) for batch in batches]


@pytest.mark.parametrize("batch_size", [50, 333])
def test_the_workers_shares_make_up_the_same_global_batches(
    packed: Dataset, batch_size: int
) -> None:
    part, manifest = packed.split("train"), packed.manifest
    assert len(part.batches) >= order.LANES
    plan = order.plan(part.batch_rows, batch_size, manifest.fingerprint, seed=1, epoch=2)
    stored = [(b.inputs.copy(), b.labels) for b in stream.stored(packed, "train")]
    films, labels = (np.concatenate(column) for column in zip(*stored, strict=True))
    for world in (1, 2, 3):
        ranks = [kept(stream.training(packed, "train", plan, r, world)) for r in range(world)]
        for step, shares in enumerate(zip(*ranks, strict=True)):
            batch = np.full(len(plan.batch(step)), -1)
            for share in shares:
                batch[share.share] = share.rows
                assert (share.inputs == films[share.rows]).all()
                assert (share.labels == labels[share.rows]).all()
            assert (batch == plan.batch(step)).all()
    later = kept(stream.training(packed, "train", plan, 1, 3, start=plan.steps - 2))
    assert [(b.rows == a.rows).all() for a, b in zip(ranks[1][-2:], later, strict=True)] == [
        True
    ] * 2


def test_a_film_is_augmented_alike_on_any_worker(packed: Dataset) -> None:
    films = torch.from_numpy(next(iter(stream.stored(packed, "train"))).inputs[:16].copy())
    spec = ImageTransform(size=32, mean=0.5, std=0.2)
    transform = transforms.build(spec, AugmentOptions(flip=0.5))
    draws = transforms.draw(16, transform.draws, seed=1, epoch=2, step=3)
    whole = transform.train(films, draws)
    part = transform.train(films[5:9], draws[5:9])
    assert torch.equal(whole[5:9], part)
    still = AugmentOptions(scale=(1, 1), shift=0, rotation=0, brightness=0, contrast=0)
    unchanged = transforms.build(spec, still)
    (seen,) = unchanged.views(films)
    assert torch.allclose(unchanged.train(films, draws), seen, atol=1e-4)


def test_the_losses_are_the_same_for_any_number_of_workers(packed: Dataset, tmp_path: Path) -> None:
    for workers in (1, 2, 3):  # shares of 10 films are uneven for three
        ranks.train(workers, tmp_path / str(workers), packed, *GROUP).finish()
    one, two, three = (history(tmp_path / str(n) / "demo") for n in (1, 2, 3))
    for other in (two, three):
        for a, b in zip(one, other, strict=True):
            for name, rounding in ROUNDING.items():
                assert abs(a[name] - b[name]) < rounding, (name, a, b)


def test_no_thread_of_the_group_is_left_to_abort_a_process_that_ends(
    packed: Dataset, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import sys
from pathlib import Path
from rayograph.config import RunConfig
from rayograph.train import local
from rayograph.train.stops import deaf
local.run(RunConfig.load("demo", sys.argv[1:]), lambda row: None, deaf)
names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in name for name in names), names
""")
    words = [f"data.uri={packed.uri}", f"run.storage={tmp_path}", "data.image_size=32", *GROUP]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*command, str(script), *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_small_forward_passes_change_nothing_but_memory(packed: Dataset, tmp_path: Path) -> None:
    for name, extra in (("whole", ()), ("parts", ("train.micro_batch=2",))):
        ranks.train(2, tmp_path / name, packed, *GROUP, *extra).finish()
    a, b = (history(tmp_path / n / "demo")[0]["val_loss"] for n in ("whole", "parts"))
    assert abs(a - b) < ROUNDING["val_loss"]


def test_three_workers_killed_and_resumed_equal_the_uninterrupted_to_the_bit(
    packed: Dataset, tmp_path: Path
) -> None:
    """Killed in the middle of an epoch: it goes on from there, not from the epoch's beginning."""
    words = (
        "train.batch_size=10", "train.epochs=3", "model.dropout=0.2", "checkpoint.keep=all",
        "train.label_smoothing=0.1", "train.head_epochs=1", "train.stress=true",
        "optim.backbone_lr=0.5", "augment.level=strong",
    )  # fmt: skip
    ranks.train(3, tmp_path / "whole", packed, *words).finish()
    words = (*words, "checkpoint.every=7 steps")
    broken = ranks.train(3, tmp_path / "broken", packed, *words)
    run = tmp_path / "broken" / "demo"
    deadline = time.monotonic() + 120
    while not list(run.glob("snapshot_0002_0000[2-9]*/progress.json")):
        assert broken.training, broken.output
        assert time.monotonic() < deadline
        time.sleep(0.005)
    broken.kill()
    assert len(history(run)) == 2, "the run was over before it could be killed"
    again = RunFolder(str(run))
    assert "/snapshot_0002_0000" in str(again.resume_from(again.latest()))
    ranks.train(3, tmp_path / "broken", packed, *words).finish()
    assert not list(run.glob("snapshot_*/*"))  # a kill while deleting may leave an empty folder
    assert history(run) == history(tmp_path / "whole" / "demo")
    last = {
        name: max((tmp_path / name / "demo").glob("checkpoint_0003_*"))
        for name in ("whole", "broken")
    }
    whole, resumed = (
        safetensors.torch.load_file(place / "model.safetensors") for place in last.values()
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    whole, resumed = (
        torch.load(place / "state.pt", weights_only=True)["optimizer"]["state"]
        for place in last.values()
    )
    for number, moments in whole.items():
        assert all(torch.equal(moments[name], resumed[number][name]) for name in moments)


def few(count: int, folder: Path) -> Dataset:
    """A dataset of `count` training films, both classes among them, and as many to validate."""
    for part in ("train", "val"):
        for number in range(count):
            place = folder / "films" / part / phantom.CLASSES[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            made = phantom.film(number, opacity=number % 2 == 1, size=32)
            Image.fromarray(made).save(place / f"{part}{number}.png")
    return packing(folder / "films", folder / "packed", PackOptions(size=32))


def first_gradient(run: Path) -> dict[int, torch.Tensor]:
    """After one step, Adam's first moment is a tenth of the gradient."""
    (place,) = run.glob("checkpoint_0001_*")
    states = torch.load(place / "state.pt", weights_only=True)["optimizer"]["state"]
    return {number: state["exp_avg"] * 10 for number, state in states.items()}


@pytest.mark.parametrize("films", [7, 2])  # shares of 3, 2, 2; and of 1, 1, 0
def test_the_gradient_is_the_exact_mean_where_shares_are_uneven_or_empty(
    films: int, tmp_path: Path
) -> None:
    data = few(films, tmp_path)
    words = (
        "model.norm=group",
        "train.epochs=1",
        "train.batch_size=7",
        "train.class_weights=balanced",
    )
    for workers in (1, 3):
        ranks.train(workers, tmp_path / str(workers), data, *words).finish()
    one, three = (first_gradient(tmp_path / str(n) / "demo") for n in (1, 3))
    assert max(gradient.abs().max() for gradient in one.values()) > 0.01
    for number, gradient in one.items():
        assert torch.allclose(gradient, three[number], rtol=1e-3, atol=1e-6)


def test_what_validation_judged_is_the_model_that_was_saved(
    packed: Dataset, tmp_path: Path
) -> None:
    """With batch norm each worker has statistics of its own until they are made the same."""
    ranks.train(3, tmp_path, packed, "train.epochs=1").finish()
    run = tmp_path / "demo"
    found = evaluation.evaluate(str(run / "best" / "model.safetensors"), None, "val")
    row = history(run)[0]
    assert found.calibration["before"]["loss"] == pytest.approx(row["val_loss"], abs=1e-5)
    for name in ("accuracy", "auroc"):
        assert found.metrics[name].value == pytest.approx(row[f"val_{name}"], abs=1e-5)

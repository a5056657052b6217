"""A Ray of one's own on one machine: the demo, and what Ctrl-C and SIGTERM leave behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from tests.conftest import REPOSITORY, rayograph


def test_the_demo_ends_with_an_accuracy_its_interval_and_a_report(tmp_path: Path) -> None:
    done = rayograph("demo", str(tmp_path))
    assert done.returncode == 0, done.stderr
    accuracy, low, high = map(
        float, re.findall(r"accuracy +(0\.\d+) +(0\.\d+)–(0\.\d+)", done.stdout)[0]
    )
    assert 0.8 < accuracy <= 1
    assert low < accuracy < high
    page = Path(done.stdout.rsplit("report: ", 1)[1].strip())
    assert page.read_text().startswith("<!DOCTYPE html>")
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch")]
    assert len(lines) == 6, "one line an epoch"
    again = rayograph("train", "demo", f"run.storage={tmp_path}")
    assert again.returncode == 2
    assert "this run is finished" in again.stderr


@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.cluster)],
)
def test_a_stopped_run_says_how_to_go_on_and_goes_on(
    sent: signal.Signals, status: int, packed: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runs = tmp_path_factory.getbasetemp() / "stopped"
    folder = RunFolder(f"{runs}/demo")
    before = folder.history()
    words = ["demo", f"data.uri={packed.uri}", f"run.storage={runs}", "data.image_size=32"]
    words += ["model.width=4", "model.depth=2", "train.epochs=1000", "train.batch_size=200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rayograph", "train", *words], cwd=REPOSITORY, text=True,
        env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while len(folder.history()) < len(before) + 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(sent)
        output, told = process.communicate(timeout=60)
    finally:
        process.kill()  # and with it its Ray, which others would wait for
    assert process.returncode == status, told
    assert "run the same command again to continue from the last checkpoint" in told
    assert "Traceback" not in told
    assert output == ""
    after = folder.history()
    assert after[: len(before)] == before
    assert [row["epoch"] for row in after] == list(range(1, len(after) + 1))


@pytest.mark.cluster
def test_a_run_goes_from_ray_to_one_process_and_back(packed: Dataset, tmp_path: Path) -> None:
    words = ["train", "demo", f"data.uri={packed.uri}", f"run.storage={tmp_path}"]
    words += ["data.image_size=32", "model.width=4", "model.depth=2", "checkpoint.keep=1"]
    folder = RunFolder(f"{tmp_path}/demo")
    names: list[str] = []
    for epochs, launcher in ((2, ""), (5, "torch.distributed.run"), (6, "")):
        one = ["--standalone", "--nproc-per-node=1", "-m", "rayograph"]
        command = [sys.executable, "-m", *([launcher, *one] if launcher else ["rayograph"])]
        done = subprocess.run(
            [*command, *words, f"train.epochs={epochs}"],
            cwd=REPOSITORY, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = [row["checkpoint"] for row in folder.history()]
        assert len(found) == epochs
        assert found[: len(names)] == names, "no epoch was trained twice"
        names = found

"""A worker that hangs or is killed for its memory: noticed, told of, and recovered from."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.cluster
HANG_S = 10
CHUNK = 2**27  # bytes, less than a worker has: its death makes room enough


@pytest.fixture
def least(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that must stay available: where there are fewer, Ray kills workers for it."""
    memory, room = psutil.virtual_memory(), 14 * 2**30  # other tests may take half of it meanwhile
    if memory.available < room + 2**31:
        pytest.skip("needs 16 GiB of free memory")
    bytes_left = memory.available - room
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{1 - bytes_left / memory.total:.4f}")
    # Ray goes on killing until 5 % of the machine is free again. These workers and Ray's helpers
    # have little more than that, and the controller would be next.
    monkeypatch.setenv("RAY_max_kill_memory_buffer_bytes", f"{2**29}")
    return bytes_left


@pytest.fixture
def run(packed: Dataset, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Two workers that train for long, and what is left of them at the end."""
    words = [
        "demo", f"data.uri={packed.uri}", f"run.storage={tmp_path}", "data.image_size=32",
        "model.width=4", "model.depth=2", "train.epochs=10000", f"cluster.hang_s={HANG_S}",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "rayograph", "train", *words], cwd=REPOSITORY, text=True,
        env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    yield process
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()


def actors(run: "subprocess.Popen[str]", name: str = "") -> list[int]:
    """The processes of Ray's actors whose class is named so; without a name, of all."""
    found = []
    for child in psutil.Process(run.pid).children(recursive=True):
        with suppress(psutil.Error):
            title = child.cmdline()[0]
            if title.startswith(f"ray::{name}") and title != "ray::IDLE":
                found.append(child.pid)
    return found


def workers(run: "subprocess.Popen[str]") -> list[int]:
    """The processes that train."""
    return actors(run, "RayTrainWorker")


def alive(pids: list[int]) -> bool:
    """Whether all of them are."""
    return all(Path(f"/proc/{pid}").exists() for pid in pids)


def until(true: Callable[[], bool], run: "subprocess.Popen[str]", within: float = 400) -> float:
    """Wait, and return how long it took in seconds."""
    began = time.monotonic()
    while not true():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() - began < within
        time.sleep(0.1)
    return time.monotonic() - began


def test_a_worker_that_hangs_is_recovered_from_and_two_signals_end_all(
    run: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    folder = RunFolder(f"{tmp_path}/demo")
    until(lambda: len(folder.history()) > 1, run)
    one, two = before = workers(run)
    logs = [Path(f"/proc/{pid}/fd/2").readlink() for pid in before]
    os.kill(one, signal.SIGSTOP)  # the other one waits for it in the step's sum
    done = len(folder.history())
    until(lambda: not Path(f"/proc/{two}").exists(), run, within=HANG_S + 20)
    told = "".join(log.read_text() for log in logs)
    assert "(cluster.hang_s); this process ends; its threads were here:" in told
    assert 'train/loop.py", line' in told.partition("(cluster.hang_s)")[2]
    until(lambda: len(folder.history()) > done + 2, run)
    assert [row["epoch"] for row in folder.history()] == list(range(1, len(folder.history()) + 1))
    assert not Path(f"/proc/{one}").exists()

    after = [psutil.Process(pid) for pid in workers(run)]
    for worker in after:
        worker.suspend()  # so that none can save what the first signal asks for
    run.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(timeout=5)
    run.send_signal(signal.SIGINT)
    _, words = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "run the same command again to continue from the last checkpoint" in words
    assert not psutil.wait_procs(after, timeout=30)[1]


def test_a_worker_killed_for_its_memory_is_recovered_from(
    least: int, run: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    folder = RunFolder(f"{tmp_path}/demo")
    until(lambda: len(folder.history()) > 1, run)
    before, everyone, taken, began = workers(run), actors(run), [], time.monotonic()
    while alive(everyone):
        assert time.monotonic() - began < 120
        if psutil.virtual_memory().available > least - CHUNK:
            taken.append(bytearray(b"x") * CHUNK)  # this process takes what a worker dies for
        time.sleep(0.05)
    taken.clear()  # at once: the first to die is a helper of 0.1 GB, and Ray looks again
    until(lambda: not alive(before), run, within=30)
    done = len(folder.history())
    until(lambda: len(folder.history()) > done + 2, run, within=200)
    assert [row["epoch"] for row in folder.history()] == list(range(1, len(folder.history()) + 1))

"""A spot node's notice: the position is saved at once, and training goes on until it is gone."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ray._raylet import GcsClient

from rayograph.data.dataset import Dataset
from tests import head, seaweed
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.cluster


@contextmanager
def node(*words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Ray node, its processes in a group of their own."""
    process = subprocess.Popen(
        [sys.executable, *head.START, *words, "--block"],
        env={**os.environ, "RAY_AUTH_MODE": "disabled"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(true: Callable[[], object], within: float = 400) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def nodes(address: str) -> dict[str, float]:
    """The CPUs of each node by its hexadecimal id."""
    try:
        found = GcsClient(address=address).get_all_node_info()
    except Exception:  # not there yet
        return {}
    return {key.hex(): dict(info.resources_total).get("CPU", 0) for key, info in found.items()}


def test_a_notice_makes_the_workers_save_at_once(packed: Dataset, tmp_path: Path) -> None:
    port = seaweed.free_ports(1)
    address = f"127.0.0.1:{port}"
    words = [
        "demo", f"data.uri={packed.uri}", f"run.storage={tmp_path}", "data.image_size=64",
        "train.epochs=1000", "train.batch_size=2", "cluster.workers=1",
    ]  # fmt: skip
    run, environment = tmp_path / "demo", {"RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": address}
    with (
        node(
            "--head",
            f"--port={port}",
            "--num-cpus=0",
            "--include-dashboard=false",
            f"--temp-dir=/tmp/rayograph-drain-{os.getpid()}",
        ),
        (tmp_path / "log").open("w") as log,
    ):
        until(lambda: nodes(address))
        with node(f"--address={address}", "--num-cpus=2"):
            until(lambda: 2 in nodes(address).values())
            process = subprocess.Popen(
                [sys.executable, "-m", "rayograph", "train", *words], cwd=REPOSITORY,
                env={**os.environ, **environment}, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                until((run / "history.jsonl").exists)
                assert not list(run.glob("snapshot_*")), "none but for the notice"
                leaving = next(key for key, cpus in nodes(address).items() if cpus)
                done = head.ray(
                    "drain-node", "--address", address, "--node-id", leaving, "--reason",
                    "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot",
                    "--deadline-remaining-seconds", "300", env={**os.environ, **environment},
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                until(lambda: list(run.glob("snapshot_*/progress.json")), within=60)
                (saved,) = run.glob("snapshot_*")
                epoch = int(re.findall(r"snapshot_(\d+)_", saved.name)[0])
                until(lambda: (run / "history.jsonl").read_text().count("\n") > epoch)
            finally:
                process.kill()

"""A second Ctrl-C or SIGTERM ends a run at once, whatever the first one still waits for."""

import os
import signal
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from typing import Any

import pytest

from rayograph.data.dataset import Dataset
from tests import faults, seaweed
from tests.conftest import REPOSITORY
from tests.faults import Proxy

ALONE = {"TORCHELASTIC_RUN_ID": "alone", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
         "MASTER_ADDR": "127.0.0.1"}  # fmt: skip


def until_put(proxy: Proxy, path: str, process: "subprocess.Popen[Any]") -> None:
    """Wait until such an object is being written."""
    deadline = time.monotonic() + 400
    while not any(r.method == "PUT" and fnmatchcase(r.path, path) for r in list(proxy.requests)):
        assert process.poll() is None, "ended early"
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_a_run_that_waits_for_its_store(
    sent: signal.Signals, status: int, packed: Dataset, s3: str
) -> None:
    """The store is away as a snapshot goes up; the first signal's own snapshot waits behind it."""
    words = [
        "demo", f"data.uri={packed.uri}", f"run.storage={s3}/signal{status}", "data.image_size=32",
        "model.width=4", "model.depth=2", "train.epochs=1000", "checkpoint.every=5 steps",
    ]  # fmt: skip
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        port = str(seaweed.free_ports(1))
        process = subprocess.Popen(
            [sys.executable, "-m", "rayograph", "train", *words], cwd=REPOSITORY, text=True,
            env={**os.environ, **ALONE, "MASTER_PORT": port, "AWS_ENDPOINT_URL": proxy.endpoint},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        until_put(proxy, "*/snapshot_*", process)
        with proxy.away():
            time.sleep(1)
            process.send_signal(sent)
            with pytest.raises(subprocess.TimeoutExpired):
                process.communicate(timeout=2)
            process.send_signal(sent)
            output, told = process.communicate(timeout=15)
    assert process.returncode == status, told
    assert "Traceback" not in told
    assert output == ""

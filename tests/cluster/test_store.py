"""The store goes away while a run writes to it: for a while, and for good."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from tests import faults, ranks
from tests.conftest import REPOSITORY
from tests.faults import Fault
from tests.promise.test_signals import until_put

pytestmark = pytest.mark.cluster


def test_a_store_away_for_a_while_is_waited_for(packed: Dataset, s3: str, tmp_path: Path) -> None:
    """While a checkpoint goes up; then while Ray writes its own record."""
    log = tmp_path / "log"
    runs, record = f"{s3}/away", "*/checkpoint_manager_snapshot.json"
    slow = [Fault("latency", "PUT", path, times=None, seconds=0.5)
            for path in ("*/checkpoint_0002_*", record)]  # fmt: skip
    with (
        faults.between(os.environ["AWS_ENDPOINT_URL"], *slow) as proxy, log.open("w") as told
    ):  # fmt: skip
        words = [
            "demo", f"data.uri={packed.uri}", f"run.storage={runs}", "data.image_size=32",
            "model.width=4", "model.depth=2", "train.epochs=4", "cluster.workers=1",
        ]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "rayograph", "train", *words], cwd=REPOSITORY,
            env={**os.environ, "AWS_ENDPOINT_URL": proxy.endpoint},
            stdout=told, stderr=told,
        )  # fmt: skip
        try:
            until_put(proxy, "*/checkpoint_0002_*", process)
            proxy.away_for(10).join()
            proxy.requests.clear()
            until_put(proxy, record, process)
            proxy.away_for(10).join()
            process.wait(timeout=400)
        finally:
            process.terminate()
    assert process.returncode == 0, log.read_text()
    assert "starting again" not in log.read_text()
    assert [row["epoch"] for row in RunFolder(f"{runs}/demo").history()] == [1, 2, 3, 4]


def test_a_store_away_for_good_ends_the_run_with_what_is_safe(packed: Dataset, s3: str) -> None:
    """After 150 s, in one process; nothing is gained by a second start of it."""
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        process = ranks.torchrun(
            1, f"{s3}/gone", packed, "train.epochs=1000", AWS_ENDPOINT_URL=proxy.endpoint,
        )  # fmt: skip
        until_put(proxy, "*/checkpoint_0003_*/progress.json", process)
        with proxy.away():
            output = process.communicate(timeout=400)[0].decode()
    assert process.returncode == 1, output
    uri = re.escape(f"{s3}/gone/demo/")
    safe = (
        rf"; safe: ({uri}checkpoint_\d{{4}}_\w+), and each later snapshot beside it; run the same"
    )
    found = re.search(rf"^rayograph: {uri}\S+: cannot \w+.*: .+{safe}", output, re.MULTILINE)
    assert found, output
    latest = RunFolder(f"{s3}/gone/demo").latest()
    named, newest = (int(str(uri).rpartition("/")[2].split("_")[1]) for uri in (found[1], latest))
    assert named in (newest, newest - 1), "that the newest has come whole may not have been told"
    assert storage.exists(f"{found[1]}/progress.json")

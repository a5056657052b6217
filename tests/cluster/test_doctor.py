"""The doctor on what is well and what is not: each named, with its cure."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.util import state

from tests import faults, head
from tests.conftest import REPOSITORY, rayograph

pytestmark = pytest.mark.cluster


def examined(*words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    done = rayograph("doctor", *words, "--json", **environment)
    return done.returncode, json.loads(done.stdout)


def lines(found: dict[str, Any], level: str) -> list[str]:
    return [f"{e['about']}: {e['message']}" for e in found["lines"] if e["level"] == level]


def test_a_healthy_machine_has_nothing_to_complain_of(s3: str) -> None:
    status, found = examined(s3)
    assert (status, lines(found, "fail")) == (0, [])
    text = "\n".join(lines(found, "ok"))
    for words in ("resume: a tiny run", "store from this machine", "the same versions as here",
                  "its clock is", "a sum over 2 processes", "MB/s"):  # fmt: skip
        assert words in text


def test_a_wrong_secret_a_missing_bucket_and_a_slow_store_are_told(s3: str) -> None:
    status, found = examined(s3, AWS_SECRET_ACCESS_KEY="wrong")
    assert (status, found["worst"]) == (1, "fail")
    assert any("the store refused the credentials" in e for e in lines(found, "fail"))
    assert any("check AWS_ACCESS_KEY_ID" in e for e in lines(found, "fail"))
    status, found = examined("s3://nowhere-at-all/x")
    assert status == 1
    assert any("the bucket nowhere-at-all does not exist" in e for e in lines(found, "fail"))
    late = faults.far(latency=0.15)
    with faults.between(os.environ["AWS_ENDPOINT_URL"], *late) as proxy:
        status, found = examined(s3, AWS_ENDPOINT_URL=proxy.endpoint)
    assert (status, found["worst"]) == (0, "warn")
    told = [e for e in lines(found, "warn") if e.startswith("store from")]
    assert len(told) == 2, "from this machine and from the node"
    assert all("slow: put it into the cluster's region" in e for e in told)


@pytest.fixture
def older(cluster: dict[str, str], tmp_path: Path) -> Iterator[None]:
    """A second node, whose package is another one."""
    shutil.copytree(REPOSITORY / "src", tmp_path / "src")
    with (tmp_path / "src" / "rayograph" / "errors.py").open("a") as file:
        file.write("\n# an older one\n")
    node = subprocess.Popen(
        [sys.executable, *head.START, f"--address={cluster['GCS']}", "--num-cpus=1", "--block"],
        env={**cluster, "PYTHONPATH": str(tmp_path / "src")}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(alive(cluster)) < 2:
        assert time.monotonic() < deadline
        time.sleep(1)
    yield
    os.killpg(node.pid, signal.SIGKILL)
    node.wait()
    while len(alive(cluster)) > 1:
        assert time.monotonic() < deadline + 60
        time.sleep(1)


def alive(cluster: dict[str, str]) -> list[Any]:
    found = state.list_nodes(address=cluster["RAY_ADDRESS"])
    return [node for node in found if node.state == "ALIVE"]


def test_nodes_that_lack_the_package_or_have_another_are_told(
    cluster: dict[str, str], older: None
) -> None:
    status, found = examined(RAY_ADDRESS=cluster["GCS"], RAY_AUTH_MODE="disabled")
    assert status == 1
    failed = lines(found, "fail")
    assert (
        sum("has no rayograph, or an older one; install the same there" in e for e in failed) == 1
    )
    assert sum("rayograph's source differs" in e for e in failed) == 1

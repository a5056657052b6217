"""Machines as they are: each that cannot work is told in one line, with its cure, before long."""

import os
import subprocess
import sys

import pytest
import ray

from rayograph.cluster import launch
from rayograph.config import ClusterOptions
from rayograph.errors import UserError
from tests.conftest import rayograph

CONNECTING = """
from rayograph.cluster import session
from rayograph.errors import Failure
try:
    with session.connected(1):
        print("connected")
except Failure as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"HOME": "/dev/null"}, "'/dev/null/.ray'; set HOME, and TMPDIR and RAY_TMPDIR if"),
        ({"RAY_TMPDIR": f"/tmp/{'long' * 20}"}, "; set RAY_TMPDIR or TMPDIR to a shorter path"),
        ({"RAY_ADDRESS": "127.0.0.1:9"}, "RAY_ADDRESS=127.0.0.1:9: no cluster answers there"),
    ],
)
def test_what_keeps_ray_away_is_one_line(settings: dict[str, str], message: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAY_TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-c", CONNECTING], env={**kept, **settings}, timeout=60,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert message in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_gpu_that_this_machine_lacks_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(UserError, match="this machine has 0 GPUs, 2 are needed; use 0"):
        launch.missing(ClusterOptions(workers=2, gpus_per_worker=1))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")  # which may grow
    told = launch.missing(ClusterOptions(workers=2, gpus_per_worker=1))
    assert told == "waiting for 2 GPUs: the cluster has 0"


def test_letters_that_a_terminal_lacks_are_replaced() -> None:
    """The settings of a locale that has ASCII alone; `config` prints an ellipsis."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = rayograph("config", "demo", **plain)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout
    assert done.stdout.isascii()


def test_brackets_are_printed_as_they_are(capfd: pytest.CaptureFixture[str]) -> None:
    code = "from rayograph.console.output import say; say.print('films [v1] a[/v1]')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert capfd.readouterr().err == "films [v1] a[/v1]\n"

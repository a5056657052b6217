"""What a run names and nobody answers for: one line and the status, before anything starts."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.runs import tracking
from tests.conftest import REPOSITORY
from tests.tracking import silent

TIMM = ("model.name=timm/regnety_002", "model.weights=pycls_in1k")
LONGEST_S = 300  # on a machine with much other work; what is said names the 5 s


@pytest.fixture
def without() -> Iterator[int]:
    """The port of a server that has nothing of what it is asked for."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_who_does_not_answer_ends_a_run_or_a_sweep_before_it_starts(
    packed: Dataset, without: int, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"optim.lr: {{choice: [1e-3]}}\nmodel.name: {TIMM[0].partition('=')[2]}\n")
    with silent() as port:
        quiet, nothing = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{without}"
        s3 = {"AWS_ENDPOINT_URL": quiet, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        cases: list[tuple[tuple[str, ...], dict[str, str], int, str]] = [
            (("train", "transfer"), {"HTTPS_PROXY": quiet}, 1, "did not answer within 5 s"),
            (("train", "demo", *TIMM), {"HF_ENDPOINT": nothing}, 2, "answered 404 for /timm/"),
            (("sweep", "demo", str(space), TIMM[1]), {"HF_ENDPOINT": quiet}, 1, "did not answer"),
            (("train", "demo", "model.weights=s3://b/x.pth", "--dry-run"), s3, 1, "timeout"),
            (("train", "demo", f"mlflow.uri={quiet}"), {}, 1, "did not answer within 5 s"),
        ]
        runs = [(case, _started(*case[:2], packed, tmp_path)) for case in cases]
        for (words, _, status, said), run in runs:
            told, error = run.communicate(timeout=LONGEST_S)
            lines = error.splitlines()
            assert (run.returncode, told, len(lines)) == (status, "", 1), (words, error)
            assert lines[0].startswith("rayograph: "), words
            assert said in lines[0], words
    assert not (tmp_path / "runs").exists()


def _started(
    words: tuple[str, ...], environment: dict[str, str], data: Dataset, folder: Path
) -> "subprocess.Popen[str]":
    given = (f"data.uri={data.uri}", f"run.storage={folder}/runs", "data.image_size=32")
    mine = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    caches = {name: str(folder / name) for name in ("TORCH_HOME", "HF_HOME")}
    return subprocess.Popen(
        [sys.executable, "-m", "rayograph", *words, *given],
        env={**mine, **caches, **environment}, cwd=REPOSITORY,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_tracker_that_is_none_and_one_that_is_gone(without: int) -> None:
    def check(uri: str) -> None:
        tracking.check(RunConfig.load(None, [f"mlflow.uri={uri}"]).mlflow)

    with pytest.raises(UserError, match="answered 404 for /;"):
        check(f"http://127.0.0.1:{without}/")
    with silent() as port:
        pass
    with pytest.raises(Failure, match=f"127.0.0.1:{port} cannot be reached: .*refused"):
        check(f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match="must not hold credentials"):
        RunConfig.load(None, ["mlflow.uri=http://me:secret@host:5000"])

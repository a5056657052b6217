"""The main job on a real Ray and a real store: pack, train, evaluate, predict, all by job submit.

The Ray head runs in an environment of its own that lacks this package: the job brings it along.
"""

import io
import json
import math
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.train.folder import RunFolder
from tests import seaweed
from tests.conftest import REPOSITORY, rayograph
from tests.promise.test_equality import finish, history, torchrun

START_S = 120


@pytest.fixture(scope="session")
def cluster(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Ray head with its dashboard; yields the environment of those who submit jobs to it."""
    home = tmp_path_factory.mktemp("head")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "env"], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = home / "env" / "lib" / version / "site-packages"
    # a path file is not followed twice, so our own editable install stays out
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    python = str(home / "env" / "bin" / "python")
    lacks = subprocess.run(
        [python, "-c", "import ray, rayograph.cli"], capture_output=True, check=False
    )
    assert b"No module named 'rayograph.cli'" in lacks.stderr
    port, dashboard = seaweed.free_ports(2), seaweed.free_ports(2) + 1
    environment = {
        **os.environ, "RAY_AUTH_MODE": "disabled", "RAY_JOB_STOP_WAIT_TIME_S": "120",
        "PATH": f"{home / 'env' / 'bin'}:{os.environ['PATH']}",  # where a job finds `python`
    }  # fmt: skip
    with (home / "log").open("w") as log:
        head = subprocess.Popen(
            [
                python, "-m", "ray.scripts.scripts", "start", "--head", "--block",
                f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=4",
                "--include-dashboard=true", f"--temp-dir=/tmp/rayograph-{os.getpid()}",
            ],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    submitter = {**environment, "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    try:
        _wait(submitter, head, home / "log")
        yield submitter
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # its children share its fate; SIGTERM takes 30 s
        head.wait()


def _wait(submitter: dict[str, str], head: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while ray("job", "list", env=submitter).returncode:
        assert head.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(1)


def ray(*words: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def submit(cluster: dict[str, str], script: str, *words: str) -> str:
    """Submit a script of job/ as the documentation says, and return what it printed."""
    done = ray(
        "job", "submit", "--working-dir", ".", "--runtime-env", "job/runtime_env.yaml",
        "--entrypoint-num-cpus", "0", "--", "python", f"job/{script}.py", *words, env=cluster,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_films_in_a_bucket_become_a_model_in_a_bucket(
    cluster: dict[str, str], s3: str, films: Path
) -> None:
    source, dataset, runs = f"{s3}/films", f"{s3}/dataset", f"{s3}/runs"
    for path in sorted(films.rglob("*.png"))[::2]:
        storage.upload(f"{source}/{path.relative_to(films)}", path)
    broken = sorted((films / "train" / "normal").glob("*.png"))[0]
    storage.write(f"{source}/train/normal/p00000_9.png", broken.read_bytes()[:300])
    submit(
        cluster, "pack", source, dataset, "pack.size=32", r"pack.patient_pattern=(p\d+)_\d+\.png"
    )
    rejected = pq.read_table(io.BytesIO(storage.read(f"{dataset}/rejected.parquet")))
    assert rejected.column("sample_id").to_pylist() == ["train/normal/p00000_9.png"]

    words = ("demo", f"data.uri={dataset}", f"run.storage={runs}", "data.image_size=32")
    words = (*words, "model.width=8", "model.depth=2", "train.epochs=5", "run.name=ray")
    told = submit(cluster, "train", *words)
    assert told.count("epoch 5/5  loss") == 1
    run = RunFolder(f"{runs}/ray")
    assert [row["epoch"] for row in run.history()] == [1, 2, 3, 4, 5]
    assert storage.exists(run.best_model)
    assert 5 in run.checkpoints()
    assert len(run.checkpoints()) <= 3, "more were kept than the two best and the latest"

    found = json.loads(rayograph("evaluate", run.uri, "--json").stdout)
    assert (
        found["films"]
        == Dataset.open(dataset).split("test").rows
        == len([path for path in sorted(films.rglob("*.png"))[::2] if path.parts[-3] == "test"])
    )
    submit(cluster, "predict", run.uri, f"{source}/test", f"{s3}/predicted.parquet")
    predicted = pq.read_table(io.BytesIO(storage.read(f"{s3}/predicted.parquet")))
    judged = pq.read_table(
        io.BytesIO(storage.read(f"{run.uri}/evaluation/test/predictions.parquet"))
    )
    by_name = dict(zip(judged["source"].to_pylist(), judged["logits"].to_pylist(), strict=True))
    for row in predicted.to_pylist():  # from originals as from shards
        low, high = by_name[row["source"]]
        assert row["p_opacity"] == pytest.approx(1 / (1 + math.exp(low - high)), abs=1e-4)
    submit(cluster, "evaluate", run.uri, "--split", "val")
    assert storage.exists(f"{run.uri}/evaluation/val/metrics.json")


def test_ray_and_torchrun_have_the_same_loss_curve(
    cluster: dict[str, str], packed, tmp_path: Path
) -> None:
    words = (
        "data.image_size=32",
        "model.width=8",
        "model.depth=2",
        "train.epochs=2",
        "optim.lr=1e-3",
    )
    submit(
        cluster, "train", "demo", f"data.uri={packed.uri}", f"run.storage={tmp_path}/ray", *words
    )
    finish(torchrun(2, tmp_path / "torchrun", packed, *words))
    assert history(tmp_path / "ray" / "demo") == history(tmp_path / "torchrun" / "demo")

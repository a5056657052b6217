"""A job that is stopped ends with a checkpoint, and goes on when it is submitted again."""

import time

import pytest

from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from tests.head import SUBMIT, ray, submit

pytestmark = pytest.mark.cluster


def test_a_stopped_job_goes_on_when_it_is_submitted_again(
    cluster: dict[str, str], s3: str, packed: Dataset
) -> None:
    words = ("demo", f"data.uri={packed.uri}", f"run.storage={s3}/stopped", "run.name=stopped",
             "data.image_size=32", "model.width=4", "model.depth=2", "train.batch_size=200",
             "train.epochs=60", "checkpoint.keep=all")  # fmt: skip
    run = RunFolder(f"{s3}/stopped/stopped")
    begun = ray("job", "submit", "--no-wait", "--submission-id", "to-be-stopped", *SUBMIT,
                "python", "job/train.py", *words, env=cluster)  # fmt: skip
    assert begun.returncode == 0, begun.stderr
    deadline = time.monotonic() + 120
    while len(run.history()) < 3:
        assert time.monotonic() < deadline, ray("job", "logs", "to-be-stopped", env=cluster).stdout
        time.sleep(0.2)
    assert ray("job", "stop", "to-be-stopped", env=cluster).returncode == 0
    logs = ray("job", "logs", "to-be-stopped", env=cluster).stdout
    assert "run the same command again to continue from the last checkpoint" in logs
    before = run.history()
    assert 3 <= len(before) < 60
    submit(cluster, "job/train.py", *words)
    after = run.history()
    assert after[: len(before)] == before, "an epoch was done twice"
    assert [row["epoch"] for row in after] == list(range(1, 61))

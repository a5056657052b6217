"""One writer a folder, on a disk and in a store."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from rayograph import storage
from rayograph.errors import UserError
from rayograph.storage import lease

HOLDER = """
import sys, time
from rayograph import storage
with storage.held(sys.argv[1], "run"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder: str, seconds: float = 60) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> str:
    return str(tmp_path) if request.param == "disk" else f"{s3}/{tmp_path.name}"


def test_a_second_writer_is_refused_while_the_first_is_alive(folder: str) -> None:
    process = holder(folder)
    try:
        with (
            pytest.raises(
                UserError, match=rf"another process writes this run \(process {process.pid}"
            ),
            storage.held(folder, "run"),
        ):
            pytest.fail("both hold it")
    finally:
        process.kill()
        process.wait()


def test_a_writer_that_was_killed_on_this_machine_is_followed_at_once(folder: str) -> None:
    process = holder(folder)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    with storage.held(folder, "run"):
        assert time.monotonic() - began < 2
    assert not list(storage.listing(folder)), "it is given back"


def test_a_writer_that_gives_no_sign_of_life_is_followed(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holder(folder)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        monkeypatch.setattr(lease, "DEAD_S", 1.0)
        with storage.held(folder, "run"):
            os.kill(process.pid, signal.SIGCONT)
            assert process.wait(timeout=10) == -signal.SIGTERM, "it wrote on without a lease"
    finally:
        process.kill()


def test_of_many_at_once_one_holds_it(folder: str) -> None:
    found: Counter[str] = Counter()
    together = threading.Barrier(6)

    def run() -> None:
        together.wait()
        try:
            with storage.held(folder, "run"):
                found["held"] += 1
                time.sleep(2 * lease.RENEW_S + 1)
        except UserError:
            found["refused"] += 1

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"held": 1, "refused": 5}

"""The short form of `make torture`."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.cluster


def test_a_run_killed_at_random_moments_equals_the_undisturbed_to_the_bit() -> None:
    """One run of two workers; a worker, the driver and the store are killed once each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--faults", "3", "--workers", "2", "--seed", "1"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 faults: all runs are equal to the bit" in done.stdout
    for kind in ("worker", "driver", "store"):
        assert f"kill -9 of the {kind}" in done.stdout

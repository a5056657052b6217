"""What tests share: a real S3 store, a small packed dataset, and the command line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from rayograph.config import PackOptions
from rayograph.data.dataset import Dataset
from rayograph.pack import phantom
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source
from tests import head, seaweed
from tests.head import REPOSITORY

settings.register_profile("ours", deadline=None)  # other tests run beside
settings.load_profile("ours")
SHARED = REPOSITORY.parent / "shared" / "data"  # real films, where there are any

needs_real_films = pytest.mark.skipif(
    not SHARED.exists(), reason="no real films beside the project"
)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a bucket in a real store; the environment points every process at it."""
    with seaweed.store(tmp_path_factory.mktemp("s3")) as environment:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        yield f"s3://{seaweed.BUCKET}"
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def cluster(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of those who submit jobs to a real Ray head."""
    with head.head(tmp_path_factory.mktemp("head")) as submitter:
        yield submitter


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,600 tiny phantoms in class folders: enough for 64 lanes."""
    folder = tmp_path_factory.mktemp("films")
    phantom.write(folder, 1600, seed=0, size=32)
    return folder


@pytest.fixture(scope="session")
def packed(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Those phantoms, packed on disk."""
    place = tmp_path_factory.mktemp("packed") / "phantoms"
    return packing(films, place, PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN))


def packing(source: Path, dest: Path, options: PackOptions, overwrite: bool = False) -> Dataset:
    """Pack in this process, and open what was packed."""
    pack(open_source(str(source), options), str(dest), one_by_one, overwrite)
    return Dataset.open(str(dest))


def rayograph(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rayograph", *words],
        env={**os.environ, **environment}, cwd=REPOSITORY, timeout=400,
        capture_output=True, text=True, check=False,
    )  # fmt: skip

"""Films come whole, once and right from a store that fails and from a cache that is pulled away."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from benchmarks import made
from rayograph import storage
from rayograph.config import PackOptions, RunConfig
from rayograph.data import order, stream
from rayograph.data.cache import Cache
from rayograph.data.dataset import Dataset
from rayograph.data.inputs.films import FilmInputs
from rayograph.pack import phantom
from rayograph.storage.connections import SILENT_S
from rayograph.train.estimate import estimate
from tests import faults
from tests.conftest import REPOSITORY, packing
from tests.faults import Fault

OPTIONS = PackOptions(size=32, patient_pattern=phantom.PATIENT_PATTERN)


@pytest.fixture(scope="module")
def bucket(s3: str) -> str:
    """2,058 films in 1,033 record batches: groups of 4 neighbours, the last one shorter."""
    uri = storage.join(s3, "reading")
    made.dataset(uri, films=2058, batch_rows=2, shard_rows=251, pixels=made.phantoms(16))
    assert order.group(len(Dataset.open(uri).split("train").batches)) == 4
    assert len(Dataset.open(uri).split("train").batches) % 4
    return uri


def start(uri: str, *words: str, endpoint: str | None = None) -> "subprocess.Popen[bytes]":
    """A worker that reads; `endpoint` is a proxy's."""
    environment = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.reading", uri, *words], cwd=REPOSITORY,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: "subprocess.Popen[bytes]", within: float = 60) -> dict[str, object]:
    output, errors = process.communicate(timeout=within)
    assert process.returncode == 0, errors.decode()
    return {**json.loads(output), "errors": errors.decode()}


@pytest.fixture(scope="module")
def expected(bucket: str) -> Sequence[str]:
    """The batches of two epochs, undisturbed."""
    found = finish(start(bucket, "--epochs", "2"))
    assert found["threads"] == 1
    return found["batches"]


@pytest.mark.parametrize("cached", [False, True], ids=["", "cache"])
def test_a_store_that_fails_in_every_way_gives_the_same_batches(
    bucket: str, expected: Sequence[str], tmp_path: Path, cached: bool
) -> None:
    shard = "*.arrows"
    planned = [
        Fault("slow_down", path=shard, times=3), Fault("internal_error", path=shard, after=5),
        Fault("reset", path=shard, times=3, after=10), Fault("truncate", path=shard, after=15),
        Fault("corrupt", path=shard, after=20), Fault("stall", path=shard, after=25),
        Fault("lost_answer", path=shard, after=30), Fault("slow_down", path="*.json"),
    ]  # fmt: skip
    with faults.between(os.environ["AWS_ENDPOINT_URL"], *planned) as proxy:
        words = ("--cache", str(tmp_path)) if cached else ()
        found = finish(start(bucket, "--epochs", "2", *words, endpoint=proxy.endpoint))
        seen = {kind for request in proxy.requests for kind in request.faults}
    assert found["batches"] == expected
    assert seen == {fault.kind for fault in planned}
    assert found["seconds"] < 12, "a stalled request was waited for until its socket gave up"


def test_bytes_that_stay_wrong_are_named_with_both_hashes(bucket: str) -> None:
    wrong = Fault("corrupt", path="*train/00000.arrows", times=None)
    with faults.between(os.environ["AWS_ENDPOINT_URL"], wrong) as proxy:
        process = start(bucket, endpoint=proxy.endpoint)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    last = errors.decode().splitlines()[-1]
    assert "train/00000.arrows: record batch at" in last
    assert "xxh3" in last
    assert "expected" in last


def test_a_store_that_is_away_for_a_while_is_waited_for(
    bucket: str, expected: Sequence[str]
) -> None:
    slow = Fault("latency", path="*.arrows", times=None, seconds=0.2)
    with faults.between(os.environ["AWS_ENDPOINT_URL"], slow) as proxy:
        process = start(bucket, "--epochs", "2", endpoint=proxy.endpoint)
        while len(proxy.requests) < 20:
            time.sleep(0.02)
        proxy.away_for(8).join()
        found = finish(process)
    assert found["batches"] == expected


def test_each_worker_fetches_its_part_of_the_bytes(bucket: str) -> None:
    split = Dataset.open(bucket).split("train")
    whole, batches = sum(shard.bytes for shard in split.shards), len(split.batches)
    words = ["data.image_size=16", "train.batch_size=40", "train.epochs=1", "cluster.workers=4"]
    told = estimate(RunConfig.load(None, [f"data.uri={bucket}", *words]), Dataset.open(bucket), 0)
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        for rank in (0, 2):
            proxy.requests.clear()
            words = ("--rank", str(rank), "--world", "4")
            finish(start(bucket, *words, endpoint=proxy.endpoint))
            bodies = [r for r in proxy.requests if r.path.endswith(".arrows")]
            lanes = (
                order.LANES // 4
            )  # neighbouring ones share a record batch, at both of their ends
            assert len({(r.path, r.range) for r in bodies}) >= len(bodies) - lanes
            assert len(bodies) < batches / 4 * 0.45, "neighbours come together"
            assert len(bodies) == pytest.approx(told.bill.requests / 4, rel=0.2)
            edges = (2 + lanes) / batches  # one at each end is a neighbour's, too
            assert sum(r.sent for r in bodies) < whole * (1 / 4 + edges) + 400 * len(bodies)


def test_no_more_record_batches_are_asked_for_than_are_held(s3: str, tmp_path: Path) -> None:
    made.dataset(storage.join(s3, "many"), 400, 2, 400, made.phantoms(16))
    cached = tmp_path / "cache"
    data = Dataset.open(storage.join(s3, "many"), Cache(str(cached), 10**9))
    rows = data.split("train").batch_rows
    half = (len(rows) - 1) // 2  # of the record batches; a step takes a film from each of one half
    first = (np.cumsum(rows) - rows)[: 2 * half].reshape(2, 1, half)
    films = first + np.arange(rows[0])[:, None]
    plan = order.Plan(films.ravel(), lanes=1, batch_size=half)
    assert half < stream.HELD < 2 * half
    with closing(stream.training(data, "train", plan, 0, 1)) as batches:
        next(batches)
        time.sleep(1.5)  # for what is fetched ahead
        assert half < len(list(cached.glob("batches/*/train-*"))) <= stream.HELD


def test_threads_end_with_a_consumer_that_leaves_early(packed: Dataset) -> None:
    before = threading.active_count()
    plan = order.plan(packed.split("train").batch_rows, 40, packed.manifest.fingerprint, 0, 0)
    with closing(stream.training(packed, "train", plan, 0, 1, threads=2)) as batches:
        next(batches)
        assert threading.active_count() > before
    assert threading.active_count() <= before


def test_an_interrupted_reader_ends_at_once_though_the_store_stalls(bucket: str) -> None:
    never = Fault("stall", path="*.arrows", times=None)
    with faults.between(os.environ["AWS_ENDPOINT_URL"], never) as proxy:
        process = start(bucket, endpoint=proxy.endpoint)
        while not proxy.requests:  # of the manifest; those that stall have no end yet
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SILENT_S - 3)  # after which a stalled socket is given up anyway


def test_a_cache_is_filled_once_by_all_and_then_the_store_is_left_alone(
    bucket: str, expected: Sequence[str], tmp_path: Path
) -> None:
    batches = len(Dataset.open(bucket).split("train").batches)
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        words = ("--epochs", "2", "--cache", str(tmp_path))
        together = [start(bucket, *words, endpoint=proxy.endpoint) for _ in range(2)]
        assert all(finish(process)["batches"] == expected for process in together)
        assert len([r for r in proxy.requests if r.path.endswith(".arrows")]) == batches
        for place in tmp_path.rglob("*-3"):  # damaged on its disk
            place.write_bytes(place.read_bytes()[:-1] + b"?")
        assert finish(start(bucket, *words, endpoint=proxy.endpoint))["batches"] == expected
        assert len([r for r in proxy.requests if r.path.endswith(".arrows")]) == batches + 1
    assert all(place.parent.stat().st_mode & 0o077 == 0 for place in tmp_path.rglob("*-3"))


def test_workers_killed_while_they_fill_a_cache_leave_nothing_that_matters(
    bucket: str, expected: Sequence[str], tmp_path: Path
) -> None:
    words = ("--epochs", "2", "--cache", str(tmp_path), "--cache-bytes", "700000")
    chance = random.Random(0)
    with faults.between(os.environ["AWS_ENDPOINT_URL"], *faults.far(rate=2e5)) as proxy:
        for _ in range(4):
            process = start(bucket, *words, endpoint=proxy.endpoint)
            while not (found := [r for r in proxy.requests if r.path.endswith(".arrows")]):
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
            process.communicate()
            proxy.requests.clear()
            assert found
    assert finish(start(bucket, *words), within=30)["batches"] == expected
    assert not list(tmp_path.rglob("*.part"))


def held(cache: Path) -> int:
    """The bytes in a cache whose files come and go."""
    total = 0
    for path in (cache / "batches").rglob("*-*[0-9]"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def test_a_cache_that_is_too_small_gives_way_and_never_grows_beyond_its_limit(
    bucket: str, expected: Sequence[str], tmp_path: Path
) -> None:
    limit = 700_000  # of 0.9 MB
    words = ("--epochs", "2", "--cache", str(tmp_path), "--cache-bytes", str(limit))
    together = [start(bucket, *words) for _ in range(2)]
    largest = 0
    while any(process.poll() is None for process in together):
        largest = max(largest, held(tmp_path))
    assert all(finish(process)["batches"] == expected for process in together)
    assert 0 < largest <= limit


def test_a_full_disk_ends_the_cache_and_not_the_run(
    bucket: str, expected: Sequence[str], tmp_path: Path
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "x", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this process may not mount a small disk")
    try:
        found = finish(start(bucket, "--epochs", "2", "--cache", str(tmp_path)))
        assert found["batches"] == expected
        assert str(found["errors"]).count("No space left on device") == 1
        assert not list(tmp_path.rglob("*.part"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("quality", [50, 95])
def test_jpeg_films_are_those_that_were_packed(films: Path, tmp_path: Path, quality: int) -> None:
    raw = packing(films, tmp_path / "raw", OPTIONS)
    options = OPTIONS.model_copy(update={"codec": "jpeg", "quality": quality})
    jpeg = packing(films, tmp_path / "jpeg", options)
    a, b = (
        np.concatenate([batch.inputs.copy() for batch in stream.stored(found, "train", threads=2)])
        for found in (raw, jpeg)
    )
    assert len(a) == len(b) == raw.split("train").rows
    error = np.square(a.astype(float) - b).mean()
    assert 10 * np.log10(255**2 / error) > {50: 25, 95: 35}[quality]
    assert abs(b.mean() - jpeg.split("train").moments.mean[0]) < 1e-6, (
        "the mean is not of what a reader sees"
    )
    assert jpeg.manifest.inputs == FilmInputs(size=OPTIONS.size, codec="jpeg", quality=quality)
    smaller = [sum(s.bytes for s in found.split("train").shards) for found in (jpeg, raw)]
    assert smaller[0] < smaller[1]


def test_an_original_is_fetched_once(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantom.write(tmp_path / "films", 60, seed=4, size=40)
    source = storage.join(s3, "originals")
    for path in (tmp_path / "films").rglob("*.png"):
        place = storage.join(source, str(path.relative_to(tmp_path / "films")))
        storage.upload(place, path)
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        packing(source, tmp_path / "d", OPTIONS)
        monkeypatch.undo()
    fetched = Counter(r.path for r in proxy.requests if r.path.endswith(".png"))
    assert len(fetched) == 60
    assert set(fetched.values()) == {1}

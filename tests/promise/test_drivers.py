"""Two drivers of one run at once: one goes on, the other is refused, histories have one author."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from rayograph.config import PackOptions, RunConfig
from rayograph.data.dataset import Dataset
from rayograph.pack import phantom
from rayograph.runs.folder import CONFIG, RunFolder
from rayograph.storage import held
from tests import seaweed
from tests.conftest import packing

FORK = multiprocessing.get_context("forkserver")  # a driver in milliseconds: the imports are done
FORK.set_forkserver_preload(["rayograph.console.app", "rayograph.search.sweep"])
LATEST_S = 3.0  # after the first driver, the second one begins
FOLLOWED_S = 30.0  # after a kill, an epoch is done: 2 s, more where others use the cores too
KILLED = -signal.SIGKILL
RATES = ("1e-5", "2e-3")  # of the first and of the second driver
WORDS = ("data.image_size=32", "model.width=4", "model.depth=2", "train.epochs=10000")


@dataclass(frozen=True)
class Found:
    """What two drivers, and a third after a kill of the one that went on, left behind."""

    offset: float
    statuses: list[int]
    told: str
    rate: float
    rates: set[float]
    starts: set[str]
    waited: float


def command(words: Sequence[str], environment: dict[str, str], told: Path) -> None:
    """A driver: the real command, without Ray."""
    from rayograph.console import app

    os.environ.update(environment)
    file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    app.main(list(words))


def train(run: RunFolder, data: Dataset, rate: str, told: Path, port: int) -> BaseProcess:
    storage, _, name = run.uri.rpartition("/")
    words = [
        "train", "demo", f"data.uri={data.uri}", f"run.storage={storage}", f"run.name={name}",
        f"optim.lr={rate}", "optim.schedule=constant", "optim.warmup_epochs=0", *WORDS,
    ]  # fmt: skip
    environment = {
        "TORCHELASTIC_RUN_ID": "alone", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    return begun(words, told, **environment)


def begun(words: Sequence[str], told: Path, **environment: str) -> BaseProcess:
    """A process that runs a command."""
    environment |= {name: os.environ[name] for name in seaweed.CLIENT if name in os.environ}
    process = FORK.Process(target=command, args=(words, environment, told))
    process.start()
    return process


def until(true: Callable[[], bool]) -> float:
    """Wait, and return how long it took, in seconds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 120
        time.sleep(0.05)
    return time.monotonic() - began


def two(run: RunFolder, data: Dataset, offset: float, scratch: Path) -> Found:
    """Two drivers; once one has ended and the other has gone on, that is killed and followed."""
    told, port = [scratch / str(number) for number in range(3)], seaweed.free_ports(3)
    drivers = [train(run, data, RATES[0], told[0], port)]
    time.sleep(offset)
    drivers.append(train(run, data, RATES[1], told[1], port + 1))
    until(lambda: any(driver.exitcode is not None for driver in drivers))
    epochs = len(run.history())
    until(lambda: len(run.history()) > epochs + 1 or all(d.exitcode is not None for d in drivers))
    for driver in drivers:
        driver.kill()
        driver.join()
    rows = run.history()
    rate = RunConfig.load(f"{run.uri}/{CONFIG}").optim.lr
    retry = train(run, data, str(rate), told[2], port + 2)
    waited = until(lambda: len(run.history()) > len(rows) or retry.exitcode is not None)
    retry.terminate()
    retry.join()
    assert run.history()[: len(rows)] == rows
    return Found(
        offset=offset,
        statuses=[int(driver.exitcode or 0) for driver in (*drivers, retry)],
        told="".join(path.read_text() for path in told),
        rate=rate,
        rates={row["lr"] for row in run.history()},
        starts={row["checkpoint"].rpartition("_")[2] for row in rows},
        waited=waited,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    phantom.write(folder / "films", 120, seed=0, size=32)
    return packing(folder / "films", folder / "packed", PackOptions(size=32))


@pytest.fixture(params=["disk", pytest.param("store", marks=pytest.mark.cluster)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "disk":
        yield str(tmp_path / "runs")
    else:
        yield f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def test_of_two_drivers_one_goes_on_and_the_other_is_refused(
    storage: str, data: Dataset, tmp_path: Path
) -> None:
    draws = random.Random(0)
    for number in range(3 if storage.startswith("s3:") else 1):
        offset = 0.0 if number == 0 else draws.uniform(0, LATEST_S)
        found = two(RunFolder(f"{storage}/run{number}"), data, offset, tmp_path)
        print(f"{storage}: {offset:.2f} s apart: exit {found.statuses}, lr {found.rates}, "
              f"{len(found.starts)} author; after a kill {found.waited:.1f} s")  # fmt: skip
        *both, retry = found.statuses
        assert sorted(both) == [KILLED, 2], found
        assert "another process writes this run" in found.told, found
        assert found.rate == float(RATES[both.index(KILLED)]), found
        assert found.rates == {found.rate}, found
        assert len(found.starts) == 1, found
        assert retry == 143, found
        assert found.waited < FOLLOWED_S, found


def test_a_second_sweep_and_a_second_pack_are_refused_while_the_first_lives(
    data: Dataset, tmp_path: Path
) -> None:
    films = str(Path(data.uri).with_name("films"))
    commands = {
        ("sweep", "demo", "asha", f"data.uri={data.uri}", f"run.storage={tmp_path}"): "demo-asha",
        ("pack", films, f"{tmp_path}/dest", "pack.size=32"): "dest",
    }
    with ExitStack() as stack:
        for place in commands.values():
            stack.enter_context(held(f"{tmp_path}/{place}", "folder"))
        processes = [begun(words, tmp_path / words[0]) for words in commands]
        for process in processes:
            process.join()
    for process, (words, place) in zip(processes, commands.items(), strict=True):
        told = (tmp_path / words[0]).read_text()
        assert f"rayograph: {tmp_path}/{place}: another process writes this" in told
        assert f"(process {os.getpid()} on" in told
        assert process.exitcode == 2

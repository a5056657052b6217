"""Workers that train together as torchrun's do, forked from a process that has imported torch.

A worker of torchrun imports for 4 s of a core before it trains; one of these begins at once.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rayograph.data.dataset import Dataset
from tests import seaweed
from tests.head import REPOSITORY

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["rayograph.console.training", "rayograph.train.local"])
LONGEST_S = 240
Act = Callable[..., Any]


class Ranks:
    """The workers of a run, and the file that they write to."""

    def __init__(self, workers: list[BaseProcess], log: Path) -> None:
        self._workers = workers
        self._log = log

    @property
    def training(self) -> bool:
        """Whether all are still at work."""
        return all(each.is_alive() for each in self._workers)

    def kill(self) -> None:
        """By SIGKILL, all of them."""
        for each in self._workers:
            each.kill()
        for each in self._workers:
            each.join()

    def finish(self) -> str:
        """What they wrote, once all have ended well."""
        deadline = time.monotonic() + LONGEST_S
        for each in self._workers:
            each.join(max(0.0, deadline - time.monotonic()))
        assert [each.exitcode for each in self._workers] == [0] * len(self._workers), self.output
        return self.output

    @property
    def output(self) -> str:
        """What they wrote until now."""
        return self._log.read_text()


def start(count: int, log: Path, act: Act, *given: Any) -> Ranks:
    """Call `act(*given)` in `count` workers that find each other as torchrun's do."""
    place = {
        "TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(seaweed.free_ports(1)),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    workers = []
    for rank in range(count):
        own = {**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        workers.append(FORKS.Process(target=_work, args=(own, log, act, given)))
        workers[-1].start()
    return Ranks(workers, log)


def train(count: int, runs: Path, data: Dataset, *overrides: str) -> Ranks:
    """`rayograph train demo` of a very small model, in `count` workers."""
    runs.mkdir(parents=True, exist_ok=True)
    return start(count, runs / "output.txt", command, *_words(runs, data, overrides))


def torchrun(
    count: int, runs: Path | str, data: Dataset, *overrides: str, **environment: str
) -> "subprocess.Popen[bytes]":
    """The same by torchrun itself."""
    words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return subprocess.Popen(
        [sys.executable, *words, "-m", "rayograph", *_words(runs, data, overrides)],
        cwd=REPOSITORY, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def _words(runs: Path | str, data: Dataset, overrides: tuple[str, ...]) -> tuple[str, ...]:
    return (
        "train", "demo", f"data.uri={data.uri}", f"run.storage={runs}", "data.image_size=32",
        "model.width=8", "model.depth=2", "optim.lr=1e-3", *overrides,
    )  # fmt: skip


def command(*words: str) -> None:
    """The command line."""
    from rayograph.console.app import main

    main(list(words))


def _work(environment: Mapping[str, str], log: Path, act: Act, given: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(written, sys.stdout.fileno())
    os.dup2(written, sys.stderr.fileno())
    act(*given)

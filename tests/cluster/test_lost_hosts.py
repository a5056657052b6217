"""Hosts that lose power, return, lose their cable, their store or their head: the same run."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayograph.runs.folder import RunFolder
from tests import head, lab, seaweed
from tests.conftest import rayograph

pytestmark = [pytest.mark.cluster, lab.needs_lab]
QUICK = {  # a host is lost where nothing runs for 6 s, or nothing answers for 24 s
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "6",
}
RUNS = f"s3://{seaweed.BUCKET}/runs"
WORDS = (
    f"data.uri=s3://{seaweed.BUCKET}/phantoms", f"run.storage={RUNS}", "data.image_size=32",
    "model.width=16", "model.depth=3", "model.norm=group", "train.batch_size=100",
    "train.epochs=200", "checkpoint.every=2 steps", "optim.lr=1e-4",
)  # fmt: skip
RETRY_TIMEOUT_S = (
    280.0  # until training goes on; a restart alone takes 10 s, on busy cores a minute
)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, films: Path) -> Iterator[lab.Cluster]:
    """A cluster that notices lost hosts soon, and packed phantoms in its store."""
    with lab.cluster(tmp_path_factory.mktemp("hosts"), **QUICK) as cluster:
        pattern = r"pack.patient_pattern=(p\d+)_\d+\.png"
        words = ("pack", str(films), f"s3://{seaweed.BUCKET}/phantoms", "pack.size=32", pattern)
        packed = rayograph(*words, **cluster.store)
        assert packed.returncode == 0, packed.stderr
        with pytest.MonkeyPatch.context() as patch:
            for name, value in cluster.store.items():
                patch.setenv(name, value)  # for those who look into the store from here
            yield cluster


class Run:
    """A run under way."""

    def __init__(self, name: str, cluster: lab.Cluster, workers: str) -> None:
        self._folder = RunFolder(f"{RUNS}/{name}")
        self._words = (f"run.name={name}", f"cluster.workers={workers}")
        self._cluster = cluster

    def submit(self) -> None:
        """Begin, or go on after the head was lost."""
        self._id = f"job-{time.time_ns()}"
        words = ("--no-wait", "--submission-id", self._id, *head.SUBMIT)
        words += ("python", "job/train.py", "demo", *WORDS, *self._words)
        done = head.ray("job", "submit", *words, env=self._cluster.submitter)
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> list[dict[str, float]]:
        """Let it end, without waiting: Ray would, for the dead that no host here buries."""
        head.ray("job", "stop", "--no-wait", self._id, env=self._cluster.submitter)
        return self.rows

    @property
    def rows(self) -> list[dict[str, float]]:
        """Its epochs so far."""
        return self._folder.history()

    def starts(self) -> int:
        """How many starts of the workers have ended an epoch: each writes names of its own."""
        return len({str(row["checkpoint"])[-8:] for row in self.rows})

    def until(self, rows: int) -> None:
        """Wait for so many epochs, for each of them as long as a restart may take."""
        while len(self.rows) < rows:
            self._until_after(len(self.rows))

    def _until_after(self, rows: int) -> None:
        lab.until(lambda: len(self.rows) > rows, RETRY_TIMEOUT_S)

    def again(self, starts: int) -> None:
        """Wait until so many starts have ended an epoch, and say how long it took."""
        took = lab.until(lambda: self.starts() >= starts, RETRY_TIMEOUT_S)
        print(f"start {starts} has ended an epoch {took:.1f} s later", time.strftime("%T"))


@pytest.fixture(scope="module")
def undisturbed(hosts: lab.Cluster) -> list[dict[str, float]]:
    """The first epochs of two workers to whom nothing happens."""
    run = Run("undisturbed", hosts, "2")
    run.submit()
    run.until(12)
    return run.stop()


def test_fewer_and_then_more_hosts_train_the_same_run(
    hosts: lab.Cluster, undisturbed: list[dict[str, float]]
) -> None:
    """Elastic 2 → 1 → 2: a power cut of a worker's host, and its return."""
    run = Run("elastic", hosts, "[1,2]")
    run.submit()
    run.until(2)
    lab.power_cut(lab.WORKERS[1])
    lost(hosts)
    run.again(starts=2)
    hosts.join(lab.WORKERS[1])
    run.again(starts=3)
    rows = run.stop()
    complete(rows)
    for a, b in zip(rows, undisturbed, strict=False):
        # rounding, which grows with the steps: 1e-8 in the epoch after the loss, 2e-4 eight later;
        # an epoch of training changes the loss by 3e-2
        assert abs(a["train_loss"] - b["train_loss"]) < 1e-3


def test_lost_power_a_silent_store_a_pulled_cable_and_a_lost_head_change_no_bit(
    hosts: lab.Cluster, undisturbed: list[dict[str, float]]
) -> None:
    run = Run("faults", hosts, "2")
    run.submit()
    run.until(1)
    lab.power_cut(lab.WORKERS[1])
    lost(hosts)
    back(hosts, lab.WORKERS[1])
    run.again(starts=2)

    with lab.deaf(lab.STORE, lab.WORKERS[0]):
        time.sleep(15)
    run.until(len(run.rows) + 2)
    assert run.starts() == 2, "a silent store is waited for"

    with lab.unplugged(lab.WORKERS[1]):
        lost(hosts)
    back(hosts, lab.WORKERS[1])
    run.again(starts=3)

    for host in (lab.HEAD, *lab.WORKERS):
        lab.power_cut(host)
    hosts.begin()
    back(hosts, *lab.WORKERS)
    run.submit()
    run.again(starts=4)
    rows = run.stop()
    complete(rows)
    for a, b in zip(rows, undisturbed, strict=False):
        assert a["train_loss"] == b["train_loss"]


def lost(hosts: lab.Cluster) -> None:
    """Wait until one of the two workers' hosts is missed."""
    took = lab.until(lambda: hosts.joined() == 2, 60)
    print(f"a host was missed after {took:.1f} s", time.strftime("%T"))


def back(hosts: lab.Cluster, *returned: int) -> None:
    """Start hosts anew."""
    for host in returned:
        lab.power_cut(host)
        hosts.join(host)
    lab.until(lambda: hosts.joined() == 3, 120)


def complete(rows: list[dict[str, float]]) -> None:
    """Each epoch once, and each film once in each of them."""
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert len({(row["films"], row["films_digest"]) for row in rows}) == 1

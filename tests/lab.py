"""Several hosts on one machine, by the lab beside the project: own addresses, own processes."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray.util import state

from tests import head, seaweed
from tests.head import REPOSITORY

HOSTS = REPOSITORY.parent / "shared" / "lab" / "hosts.sh"
LOCK = Path("/tmp/rayograph-lab.lock")
NETWORK, OWN = "10.77.0", "10.77.0.200"
SWITCH, CABLE = "rgh_sw", "rgh_own"
STORE, HEAD, WORKERS = 0, 1, (2, 3)  # the hosts of a cluster
PORT, DASHBOARD, METRICS = 6379, 8265, 8090
COMMON = ("--block", f"--metrics-export-port={METRICS}")


def missing() -> str | None:
    """Why there can be no lab here."""
    if not HOSTS.exists():
        return "no lab beside the project"
    if os.geteuid():
        return "hosts need root"
    if not shutil.which("ip") or not shutil.which("unshare"):
        return "hosts need iproute2 and util-linux"
    done = subprocess.run(["unshare", "-n", "true"], check=False)
    return "hosts need network namespaces" if done.returncode else None


needs_lab = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@contextmanager
def alone() -> Iterator[None]:
    """One test at a time: the names of the lab's hosts are the machine's."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def hosts(count: int) -> Iterator[None]:
    """Hosts h0, h1, … at `address(0)`, …; this process can reach them all."""
    with alone():
        _run(str(HOSTS), "down")
        _run(str(HOSTS), "up", str(count))
        try:
            _run("ip", "link", "add", CABLE, "type", "veth", "peer", "own", "netns", SWITCH)
            _run("ip", "addr", "add", f"{OWN}/24", "dev", CABLE)
            _run("ip", "link", "set", CABLE, "up")
            _run("ip", "-n", SWITCH, "link", "set", "own", "master", "br0", "up")
            yield
        finally:
            with suppress(subprocess.CalledProcessError):
                _run("ip", "link", "del", CABLE)
            _run(str(HOSTS), "down")


def address(host: int) -> str:
    """A host's address."""
    return f"{NETWORK}.{host + 1}"


def within(host: int) -> list[str]:
    """What runs a command in a host's network; it ends with the command."""
    return [str(HOSTS), "in", f"h{host}"]


def start(host: int, command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a command as the first process of a host; it ends with the lab."""
    subprocess.run([str(HOSTS), "start", f"h{host}", *command], env=environment, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip


def console(host: int) -> Path:
    """What a host's first process has printed."""
    return Path(f"/tmp/rayograph-hosts/h{host}/console")


def power_cut(host: int) -> None:
    """End all that was started on a host, at once."""
    _run(str(HOSTS), "kill", f"h{host}")


@contextmanager
def unplugged(host: int) -> Iterator[None]:
    """Within the block, a host's cable is pulled: packets are lost, nobody is told."""
    _run(str(HOSTS), "cut", f"h{host}")
    try:
        yield
    finally:
        _run(str(HOSTS), "mend", f"h{host}")


@contextmanager
def deaf(host: int, other: int) -> Iterator[None]:
    """Within the block, nothing that a host sends reaches the other one: it seems silent."""
    route = ["ip", "-n", f"rgh_h{host}", "route"]
    _run(*route, "add", "blackhole", address(other))
    try:
        yield
    finally:
        _run(*route, "del", "blackhole", address(other))


@dataclass(frozen=True)
class Cluster:
    """`submitter`: the environment of those who submit, without credentials; `node`: a node's."""

    submitter: dict[str, str]
    node: dict[str, str]
    store: dict[str, str]
    python: str

    def begin(self) -> None:
        """Start the head, which has no CPUs, and wait until it takes jobs."""
        start(HEAD, [
            self.python, *head.START, "--head", "--num-cpus=0", f"--port={PORT}",
            f"--node-ip-address={address(HEAD)}", "--dashboard-host=0.0.0.0",
            f"--dashboard-port={DASHBOARD}", *COMMON,
        ], self.node)  # fmt: skip
        head.wait(self.submitter, lambda: True, console(HEAD))

    def join(self, host: int) -> None:
        """Let a host join the cluster as a worker of one CPU."""
        start(host, [
            self.python, *head.START, f"--address={address(HEAD)}:{PORT}", "--num-cpus=1",
            f"--node-ip-address={address(host)}", *COMMON,
        ], self.node)  # fmt: skip

    def joined(self) -> int:
        """Nodes that are alive; 0 where the head does not say, as on busy cores."""
        try:
            nodes = state.list_nodes(address=self.submitter["RAY_ADDRESS"])
        except state.exception.RayStateApiException:
            return 0
        return sum(node.state == "ALIVE" for node in nodes)


@contextmanager
def cluster(home: Path, **node: str) -> Iterator[Cluster]:
    """A store, a head, and two workers that have joined it; `node` adds to their environment."""
    with hosts(4), seaweed.store(home / "store", address(STORE), within(STORE)) as store:
        bare = head.nodes_environment(home)
        found = Cluster(
            submitter={
                **{name: value for name, value in bare.items() if not name.startswith("AWS_")},
                "RAY_ADDRESS": f"http://{address(HEAD)}:{DASHBOARD}",
            },
            node={**bare, **store, **node},
            store=store,
            python=head.bare(home),
        )
        found.begin()
        for host in WORKERS:
            found.join(host)
        until(lambda: found.joined() == 3, 120)
        yield found


def until(true: Callable[[], bool], within_s: float) -> float:
    """Wait, and return how long it took, in seconds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, [console(h).read_text() for h in WORKERS]
        time.sleep(0.2)
    return time.monotonic() - began


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)

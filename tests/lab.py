"""Several hosts on one machine, by the lab beside the project: own addresses, own processes."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.head import REPOSITORY

HOSTS = REPOSITORY.parent / "shared" / "lab" / "hosts.sh"
LOCK = Path("/tmp/rayograph-lab.lock")
NETWORK, OWN = "10.77.0", "10.77.0.200"
SWITCH, CABLE = "rgh_sw", "rgh_own"


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
def hosts(count: int) -> Iterator[None]:
    """Hosts h0, h1, … at `address(0)`, …; this process can reach them all."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the lab's names are the machine's
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


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)

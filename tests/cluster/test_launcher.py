"""`ray up docs/cluster-local.yaml` on two machines over ssh: a job through it, `ray down`.

The machines are the lab's hosts, each with a network, processes and a home folder of its own; the
commands are given on a third.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests import lab
from tests.head import REPOSITORY
from tests.kube import LAB

SSHD = shutil.which("sshd", path=f"/usr/sbin:{os.environ['PATH']}")
TOOLS = ("ip", "unshare", "ssh", "ssh-keygen", "rsync")
LACKING = [tool for tool in TOOLS if not shutil.which(tool)] + ([] if SSHD else ["sshd"])
JOIN_S = 120
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to make network namespaces"),
    pytest.mark.skipif(bool(LACKING), reason=f"needs {', '.join(LACKING)}"),
    pytest.mark.skipif(not LAB.exists(), reason="no lab beside the project"),
]

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


class Laptop:
    """Where commands are given: the network of host h2, and a home folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._hosts = ["bash", str(LAB / "hosts.sh")]
        self.environment = {
            **os.environ, "HOSTS_DIR": str(folder / "hosts"), "HOME": str(folder / "laptop"),
            "RAY_TMPDIR": str(folder / "laptop"),  # where the launcher notes the cluster's state
            "RAY_UP_enable_autoscaler_v2": "0", "RAY_AUTH_MODE": "token",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:8265",
        }  # fmt: skip
        self.environment.pop("RAY_ADDRESS", None)

    def hosts(self, *words: str) -> None:
        """Run the lab's script."""
        subprocess.run([*self._hosts, *words], env=self.environment, check=True)

    def ray(self, *words: str, must: bool = True) -> str:
        """Run Ray's own command on the laptop, and return what it printed."""
        done = subprocess.run(
            [*self._hosts, "in", "h2", *RAY, *words], env=self.environment, cwd=REPOSITORY,
            capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == 0 or not must, told
        return told

    @contextmanager
    def dashboard(self, config: Path) -> Iterator[None]:
        """The head's dashboard on the laptop's own port 8265."""
        with (config.parent / "dashboard").open("w") as log:
            process = subprocess.Popen(
                [*self._hosts, "in", "h2", *RAY, "dashboard", str(config)],
                env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            _wait(lambda: "Error" not in self.ray("job", "list", must=False))
            yield
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """A laptop and two machines that run nothing but sshd."""
    found = Laptop(tmp_path)
    (tmp_path / "laptop" / ".ray").mkdir(parents=True)
    (tmp_path / "laptop" / ".ray" / "auth_token").write_text(os.urandom(32).hex())
    for name in ("key", "hostkey"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True
        )
    (tmp_path / "sshd.conf").write_text(
        f"Port 22\nHostKey {tmp_path}/hostkey\nAuthorizedKeysFile {tmp_path}/key.pub\n"
        "PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # Debian's sshd wants it
    with lab.alone():
        try:
            found.hosts("down")
            found.hosts("up", "3")
            for host in ("h0", "h1"):
                machine = _machine(tmp_path / f"home-{host}", tmp_path)
                found.hosts("start", host, "bash", "-c", machine)
            yield found
        finally:
            found.hosts("down")


def test_two_machines_come_up_run_a_job_and_go_down(laptop: Laptop, tmp_path: Path) -> None:
    config = yaml.safe_load((REPOSITORY / "docs" / "cluster-local.yaml").read_text())
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(tmp_path / "key")}
    place = tmp_path / "cluster.yaml"
    place.write_text(yaml.safe_dump(config))
    laptop.ray("up", "--yes", str(place))
    status = ("exec", str(place), "RAY_AUTH_MODE=token ray status")
    _wait(lambda: "2 local.cluster.node" in laptop.ray(*status, must=False))

    with laptop.dashboard(place):
        told = laptop.ray(
            "job", "submit", "--working-dir", ".", "--runtime-env", "job/runtime_env.yaml",
            "--entrypoint-num-cpus", "0", "--", "python", "job/train.py", "demo",
            f"run.storage={tmp_path}/runs", "train.epochs=2", "cluster.workers=1",
        )  # fmt: skip
    assert "epoch 2/2" in told
    assert (tmp_path / "runs" / "demo" / "best" / "model.safetensors").exists()

    assert "No nodes remaining" in laptop.ray("down", "--yes", str(place))
    assert "2 local.cluster.node" not in laptop.ray(*status, must=False)


def _machine(home: Path, folder: Path) -> str:
    """What a machine runs: sshd, with a home folder of its own that knows where Python is."""
    home.mkdir()
    for name in (".profile", ".bashrc"):
        (home / name).write_text(f"export PATH={sys.prefix}/bin:$PATH\n")
    lines = []
    base = Path(sys.base_prefix)
    if base.is_relative_to("/root"):
        kept = home / base.relative_to("/root")
        lines.append(f"mkdir -p {kept} && mount --bind {base} {kept}")
    lines += [f"mount --rbind {home} /root", f"exec {SSHD} -D -e -f {folder}/sshd.conf"]
    return " && ".join(lines)


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + JOIN_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(2)

"""A real Ray head in an environment of its own that lacks this package: the jobs bring it along."""

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import seaweed

REPOSITORY = Path(__file__).parents[1]
START_S = 120
CPUS = 4
PORTS = 3  # in a row: the head's, its dashboard's, and of the agent that starts jobs
SUBMIT = ("--working-dir", ".", "--runtime-env", "job/runtime_env.yaml",
          "--entrypoint-num-cpus", "0", "--")  # fmt: skip
START = ("-m", "ray.scripts.scripts", "start")


@contextmanager
def head(home: Path) -> Iterator[dict[str, str]]:
    """A head with its dashboard; yields the environment of those who submit jobs to it."""
    python = bare(home)
    port = seaweed.free_ports(PORTS)
    dashboard, agent = port + 1, port + 2  # another Ray here has the usual ones
    environment = nodes_environment(home)
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [
                python, *START, "--head", "--block",
                f"--port={port}", f"--dashboard-port={dashboard}",
                f"--dashboard-agent-listen-port={agent}", f"--num-cpus={CPUS}",
                "--include-dashboard=true", f"--temp-dir=/tmp/rayograph-{os.getpid()}",
            ],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    submitter = {
        **environment,
        "RAY_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "GCS": f"127.0.0.1:{port}",  # for those who connect rather than submit
    }
    try:
        wait(submitter, lambda: process.poll() is None, home / "log")
        yield submitter
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its children share its fate; SIGTERM takes 30 s
        process.wait()


def bare(home: Path) -> str:
    """The Python of a new environment that has all packages, but not this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "env"], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = home / "env" / "lib" / version / "site-packages"
    # a path file is not followed twice, so our own editable install stays out
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    python = str(home / "env" / "bin" / "python")
    lacks = subprocess.run(
        [python, "-I", "-c", "import ray, rayograph.console.app"], capture_output=True, check=False
    )
    assert b"No module named 'rayograph" in lacks.stderr
    return python


def nodes_environment(home: Path) -> dict[str, str]:
    """What a node needs: where a job finds `python`, and how long it may take to stop."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {
        **own, "RAY_AUTH_MODE": "disabled", "RAY_JOB_STOP_WAIT_TIME_S": "120",
        "PATH": f"{home / 'env' / 'bin'}:{os.environ['PATH']}",
    }  # fmt: skip


def ray(*words: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run Ray's own command."""
    return subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def submit(cluster: dict[str, str], script: str, *words: str) -> str:
    """Submit a script as the documentation says, and return what it printed."""
    done = ray("job", "submit", *SUBMIT, "python", script, *words, env=cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def wait(submitter: dict[str, str], alive: Callable[[], bool], log: Path) -> None:
    """Until the head takes jobs."""
    deadline = time.monotonic() + START_S
    while ray("job", "list", env=submitter).returncode:
        assert alive(), log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(1)

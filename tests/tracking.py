"""A real MLflow server on a database of its own, and a server that accepts and says nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.seaweed import free_ports

START_S = 120  # it takes ten seconds of one core


class MlflowServer:
    """The processes of one `mlflow server`, which can be made to say nothing for a while."""

    def __init__(self, folder: Path) -> None:
        port = free_ports(1)
        self.uri = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", f"--port={port}", "--workers=1",
                    f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
                    f"--artifacts-destination={folder}/artifacts",
                ],
                stdout=log, stderr=log, start_new_session=True,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
            )  # fmt: skip

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < end:
            try:
                urlopen(f"{self.uri}/health", timeout=2).close()
                return
            except (URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(self._log.read_text())

    def pause(self) -> None:
        """Accept connections, and say nothing."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Be gone."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)  # the kernel accepts
        yield listening.getsockname()[1]

"""One writer a folder, on a disk and in a store."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from rayograph import storage
from rayograph.errors import UserError
from rayograph.storage import lease
from tests import faults
from tests.faults import Fault

HOLDER = """
import sys, time
from rayograph import storage
with storage.held(sys.argv[1], "run"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder: str, seconds: float = 60) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture(params=["disk", "store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, s3: str) -> str:
    return str(tmp_path) if request.param == "disk" else f"{s3}/{tmp_path.name}"


def test_a_second_writer_is_refused_while_the_first_is_alive(folder: str) -> None:
    process = holder(folder)
    try:
        with (
            pytest.raises(
                UserError, match=rf"another process writes this run \(process {process.pid}"
            ),
            storage.held(folder, "run"),
        ):
            pytest.fail("both hold it")
    finally:
        process.kill()
        process.wait()


def test_a_writer_that_was_killed_on_this_machine_is_followed_at_once(folder: str) -> None:
    process = holder(folder)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    with storage.held(folder, "run"):
        assert time.monotonic() - began < 2
    assert not list(storage.listing(folder)), "it is given back"


def test_a_writer_that_gives_no_sign_of_life_is_followed(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holder(folder)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        monkeypatch.setattr(lease, "DEAD_S", 1.0)
        with storage.held(folder, "run"):
            os.kill(process.pid, signal.SIGCONT)
            assert process.wait(timeout=10) == -signal.SIGTERM, "it wrote on without a lease"
    finally:
        process.kill()


class Blind(BaseHTTPRequestHandler):
    """A store without conditional writes, which ignores them or answers `refusal`."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    refusal: ClassVar[int] = 0

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refusal and ("If-Match" in self.headers or "If-None-Match" in self.headers):
            return self.answer(self.refusal, b"<Error><Code>NotImplemented</Code></Error>")
        self.objects[self.path] = data
        return self.answer(200, data, sent=b"")

    def do_GET(self) -> None:
        data = self.objects.get(self.path)
        missing = b"<Error><Code>NoSuchKey</Code></Error>"
        self.answer(404, missing) if data is None else self.answer(200, data)

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self.answer(204, b"")

    def answer(self, status: int, data: bytes, sent: bytes | None = None) -> None:
        sent = data if sent is None else sent
        self.send_response(status)
        self.send_header("ETag", f'"{hashlib.md5(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(params=[0, 501])
def blind(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, s3: str
) -> Iterator[str]:
    """A place in such a store; clients have the credentials of `s3`, which boto3 keeps."""
    assert s3
    monkeypatch.setattr(Blind, "refusal", request.param)
    monkeypatch.setattr(Blind, "objects", {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Blind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield "s3://blind/run"
        server.shutdown()


def test_of_many_at_once_one_holds_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert at_once(folder, monkeypatch) == {"held": 1, "refused": 5}


def test_of_many_at_once_one_holds_it_where_writes_have_no_conditions(
    blind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert at_once(blind, monkeypatch) == {"held": 1, "refused": 5}
    with storage.held(blind, "run"):
        pass
    assert not Blind.objects, "it is given back"


def at_once(folder: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many of six threads hold the folder, and how many are refused."""
    monkeypatch.setattr(lease, "RENEW_S", 0.4)
    monkeypatch.setattr(lease, "SETTLE_S", 1.0)
    found: Counter[str] = Counter()
    together, over = threading.Barrier(6), threading.Event()

    def run() -> None:
        together.wait()
        try:
            with storage.held(folder, "run"):
                found["held"] += 1
                over.wait(60)
        except UserError:
            found["refused"] += 1
            if found.total() == 6:
                over.set()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_write_whose_answer_is_lost_is_ours(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has it; the same request again is refused, as another's would be."""
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.plan(*(Fault("lost_answer", "PUT", "*.lease.json", after=n) for n in (0, 3)))
        began = time.monotonic()
        with storage.held(f"{s3}/lost", "run"):
            assert time.monotonic() - began < 5, "it waited for its own end"
            written = len(proxy.requests) + 8
            while len(proxy.requests) < written:  # it is renewed
                assert time.monotonic() - began < 30
                time.sleep(0.1)
        assert [fault for r in proxy.requests for fault in r.faults] == ["lost_answer"] * 2


def test_a_process_of_another_container_is_not_dead_because_it_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two containers may share a host's name, and each has numbers of its own for processes."""
    process = holder(str(tmp_path))
    try:
        monkeypatch.setattr(lease, "_machine", lambda: "another namespace")
        monkeypatch.setattr(lease, "DEAD_S", 1.0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        began = time.monotonic()
        with storage.held(str(tmp_path), "run"):
            assert time.monotonic() - began >= 1
    finally:
        process.kill()

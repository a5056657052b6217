"""Contract 1: complete or absent, the same on a disk and in a bucket, and errors that help."""

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from rayograph import storage
from rayograph.errors import Failure, UserError
from tests import faults, seaweed


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path)
    return storage.join(request.getfixturevalue("s3"), "storage", tmp_path.name)


def read_range(uri: str, offset: int, length: int) -> bytes:
    into = bytearray(length)
    storage.Ranges().read(uri, offset, memoryview(into))
    return bytes(into)


def test_what_is_written_is_read_listed_and_deleted(place: str) -> None:
    one, two = storage.join(place, "a/one name ü.bin"), storage.join(place, "b.bin")
    storage.write(one, b"0123456789")
    storage.write(two, b"")
    assert storage.read(one) == b"0123456789"
    assert read_range(one, 3, 4) == b"3456"
    assert [entry.uri for entry in storage.listing(place)] == [one, two]
    assert storage.exists(one)
    storage.copy(one, two)
    assert storage.read(two) == b"0123456789"
    storage.delete([one, two])
    assert not storage.exists(one)
    assert list(storage.listing(place)) == []


def test_what_vanishes_while_a_folder_is_listed_is_no_error(tmp_path: Path) -> None:
    place = str(tmp_path)
    storage.write(f"{place}/stays", b"")
    done = threading.Event()

    def bustle() -> None:
        while not done.is_set():
            names = [f"{place}/{folder}/{name}" for folder in "abc" for name in "defgh"]
            for name in names:
                storage.write(name, b"12")
            storage.delete(names)

    thread = threading.Thread(target=bustle)
    thread.start()
    try:
        for _ in range(1000):
            entries = list(storage.listing(place))
            assert entries[-1] == (f"{place}/stays", 0)
    finally:
        done.set()
        thread.join()
    assert [entry.uri for entry in storage.listing(place)] == [f"{place}/stays"]


def test_a_large_object_goes_up_in_parts_and_comes_back(place: str, tmp_path: Path) -> None:
    data = os.urandom(storage.MULTIPART_BYTES + 12345)
    (tmp_path / "large").write_bytes(data)
    uri = storage.join(place, "large.bin")
    storage.upload(uri, tmp_path / "large")
    assert storage.read(uri) == data
    assert read_range(uri, len(data) - 7, 7) == data[-7:]


def test_more_objects_are_listed_than_one_page_holds(s3: str) -> None:
    place = storage.join(s3, "pages")
    for number in range(1005):
        storage.write(storage.join(place, f"{number:05}"), b"x")
    assert len(list(storage.listing(place))) == 1005


def test_reading_past_the_end_is_a_failure_that_says_so(place: str) -> None:
    uri = storage.join(place, "short")
    storage.write(uri, b"0123456789")
    with pytest.raises(Failure, match="4 bytes at 6 where 8 should be"):
        read_range(uri, 6, 8)


def test_what_is_absent_is_named(place: str) -> None:
    with pytest.raises(storage.NotFoundError, match=r"absent\.bin: not found"):
        storage.read(storage.join(place, "absent.bin"))
    with pytest.raises(storage.NotFoundError):
        read_range(storage.join(place, "absent.bin"), 0, 1)


def test_a_failed_write_leaves_the_old_object(tmp_path: Path) -> None:
    """A full disk: a file system of one megabyte, where this process may mount one."""
    code = f"""
import os, subprocess, sys
place = {str(tmp_path)!r}
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "x", place]).returncode:
    sys.exit(77)
from rayograph import storage
storage.write(place + "/a", b"old")
try:
    storage.write(place + "/a", bytes(5_000_000))
except Exception as error:
    print(error)
assert storage.read(place + "/a") == b"old"
assert os.listdir(place) == ["a"], os.listdir(place)
"""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode in (1, 77) and "Operation not permitted" in done.stderr:
        pytest.skip("this machine may not mount a file system")
    assert done.returncode == 0, done.stderr
    assert "No space left" in done.stdout


@pytest.mark.parametrize(
    ("change", "uri", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "", "the store refused the credentials"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "", "the store refused the credentials"),
        ({}, "s3://absent-bucket/x", "the bucket absent-bucket does not exist"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "", "Could not connect to the endpoint"),
    ],
)
def test_a_store_that_refuses_is_explained(
    s3: str, change: dict[str, str], uri: str, message: str
) -> None:
    """In a process of its own, since a client keeps the credentials that it was made with."""
    for verb in ("read", "exists", "listing"):
        place = uri or f"{s3}/x"
        code = f"from rayograph import storage; print(list(storage.{verb}({place!r}) or ''))"
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **change, "AWS_MAX_ATTEMPTS": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        last = done.stderr.strip().splitlines()[-1]
        assert message in last, done.stderr
        assert "wrong" not in last


@pytest.mark.parametrize(
    "uri",
    ["gs://b/x", "gs:/b/x", "s3://", "s3:", "s3://a:9000/b", "", "http://x/y", "C:\\x", "C:/x"],
)
def test_a_place_that_cannot_be_is_refused(uri: str) -> None:
    with pytest.raises(UserError):
        storage.absolute(uri)


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("s3:/bucket/x", "s3://bucket/x"),
        ("s3:bucket/x", "s3://bucket/x"),
        ("S3://bucket/x", "s3://bucket/x"),
        ("s3//bucket", "s3://bucket"),
        ("s3 ://bucket/x", "s3://bucket/x"),
        (" s3://bucket/x", "s3://bucket/x"),
        ("s3:///bucket/x", "s3://bucket/x"),
        ("s3a://bucket/x", "s3://bucket/x"),
        ("arn:aws:s3:::bucket/x", "s3://bucket/x"),
        ("https://bucket.s3.amazonaws.com/x", "s3://bucket/x"),
        ("https://my.bucket.s3.eu-west-1.amazonaws.com/x/y", "s3://my.bucket/x/y"),
        ("https://s3.eu-west-1.amazonaws.com/bucket", "s3://bucket"),
        ("file:/films", "file:///films"),
        ("file://films/x", "file:///films/x"),
        ("FILE:///films", "file:///films"),
    ],
)
def test_what_only_looks_like_a_uri_is_refused_with_what_was_meant(uri: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"did you mean {re.escape(meant)}\?$"):
        storage.absolute(uri)
    storage.absolute(meant)


@pytest.mark.parametrize("path", ["s3", "s3/x", "./s3:/x", "films:v2/a", "10:30.png", "a\\b#?%2F"])
def test_other_names_are_paths(path: str) -> None:
    assert storage.absolute(path) == str(Path(path).absolute())
    assert storage.absolute(Path(path).absolute().as_uri()) == str(Path(path).absolute())


def test_an_endpoint_without_a_scheme_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:8333")
    with pytest.raises(UserError, match=r"localhost:8333; AWS_ENDPOINT_URL.*http://HOST:PORT"):
        storage.read("s3://bucket/x")


def test_objects_have_the_media_type_of_their_name(s3: str) -> None:
    for name, kind in (
        ("report.html", "text/html"),
        ("train/00000.arrows", "application/vnd.apache.arrow.stream"),
        ("model.safetensors", "application/octet-stream"),
    ):
        storage.write(f"{s3}/types/{name}", b"x")
        found = boto3.client("s3").head_object(Bucket=seaweed.BUCKET, Key=f"types/{name}")
        assert found["ContentType"] == kind


@pytest.fixture
def https(s3: str, tmp_path: Path) -> Iterator[str]:
    """The store's endpoint behind TLS; `tmp_path/ca.pem` vouches for it, and nobody else does."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem", "-days", "2",
         "-subj", "/CN=a hospital's store", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    plain = urlsplit(os.environ["AWS_ENDPOINT_URL"])

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with suppress(OSError):
            inner = context.wrap_socket(client, server_side=True)
            outer = socket.create_connection((plain.hostname, plain.port))
            threading.Thread(target=pump, args=(inner, outer), daemon=True).start()
            pump(outer, inner)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"https://localhost:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


REACHING = """
import pickle, sys
from pyarrow.fs import FileSelector, copy_files
from rayograph import storage
place = sys.argv[1]
storage.write(f"{place}/a", b"0123456789")
part = bytearray(3)
storage.Ranges().read(f"{place}/a", 4, memoryview(part))
filesystem, path = storage.filesystem(place)  # as Ray's processes get it
rays = pickle.loads(pickle.dumps(filesystem))
assert rays == filesystem
with rays.open_output_stream(f"{path}/b/c") as file:
    file.write(b"x")
found = sorted((i.path.removeprefix(path), i.type.name, i.size) for i in rays.get_file_info(
    FileSelector(path, recursive=True)))
assert found == [("/a", "File", 10), ("/b", "Directory", None), ("/b/c", "File", 1)], found
kinds = [i.type.name for i in rays.get_file_info([f"{path}/a", f"{path}/b", f"{path}/none"])]
assert kinds == ["File", "Directory", "NotFound"], kinds
copy_files(path, sys.argv[2], source_filesystem=rays)
assert open(f"{sys.argv[2]}/b/c").read() == "x"
rays.delete_dir(path)
assert not list(storage.listing(place))
print(part.decode())
"""


def reached(place: str, tmp_path: Path, **settings: str) -> str:
    """What a process of these settings reads of the store, by our requests and by Ray's."""
    unset = {"AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}
    if "AWS_PROFILE" in settings:
        unset |= {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        [sys.executable, "-c", REACHING, place, str(tmp_path)],
        env={**kept, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def profile(tmp_path: Path, *lines: str) -> dict[str, str]:
    """The settings by which the store is that of a profile with these lines."""
    keys = [f"aws_access_key_id = {seaweed.KEY}", f"aws_secret_access_key = {seaweed.SECRET}"]
    (tmp_path / "config").write_text("\n".join(["[profile hospital]", *keys, *lines]))
    return {"AWS_PROFILE": "hospital", "AWS_CONFIG_FILE": str(tmp_path / "config")}


def test_what_a_profile_says_holds_for_ray_too(s3: str, https: str, tmp_path: Path) -> None:
    lines = (f"endpoint_url = {https}", f"ca_bundle = {tmp_path / 'ca.pem'}")
    assert reached(f"{s3}/profile", tmp_path, **profile(tmp_path, *lines)) == "456"


def test_a_certificate_of_ones_own_needs_one_variable(s3: str, https: str, tmp_path: Path) -> None:
    place, there, bundle = f"{s3}/tls", {"AWS_ENDPOINT_URL": https}, str(tmp_path / "ca.pem")
    assert reached(place, tmp_path, **there, AWS_CA_BUNDLE=bundle) == "456"
    told = reached(place, tmp_path, **there, AWS_CA_BUNDLE=f"{bundle}.old")
    assert (
        "the store is not trusted: [Errno 2] No such file or directory; set AWS_CA_BUNDLE" in told
    )
    assert f"(now: {bundle}.old) to a PEM file" in told


def test_a_proxy_is_asked_where_one_is_named(s3: str, tmp_path: Path) -> None:
    place, inner = f"{s3}/proxied", {"AWS_ENDPOINT_URL": "http://s3.inside:9000"}
    own = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        assert reached(place, tmp_path, **inner, HTTP_PROXY=proxy.endpoint) == "456"
        assert proxy.requests
        proxy.requests.clear()
        assert reached(place, tmp_path, HTTP_PROXY=proxy.endpoint, NO_PROXY=own) == "456"
        assert not proxy.requests

"""The proxy of faults does what it says: each kind as a client without retries sees it."""

import http.client
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow.fs
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tests import faults
from tests.faults import Fault, Proxy
from tests.seaweed import BUCKET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DATA = os.urandom(3_000_000)
KEY = "faults/a film ü.bin"


@pytest.fixture(scope="module")
def proxy(s3: str) -> Iterator[Proxy]:
    with faults.between(os.environ["AWS_ENDPOINT_URL"]) as proxy:
        client(proxy).put_object(Bucket=BUCKET, Key=KEY, Body=DATA)
        yield proxy


@pytest.fixture(autouse=True)
def clean(proxy: Proxy) -> None:
    proxy.calm()
    proxy.requests.clear()


def client(proxy: Proxy, **more: Any) -> "S3Client":
    config = Config(retries={"total_max_attempts": 1}, read_timeout=2, **more)
    return boto3.client("s3", endpoint_url=proxy.endpoint, config=config)


def get(store: "S3Client", **more: Any) -> bytes:
    return store.get_object(Bucket=BUCKET, Key=KEY, **more)["Body"].read()


def test_everything_passes_unchanged_on_one_connection_and_is_counted(proxy: Proxy) -> None:
    store = client(proxy)
    assert get(store) == DATA
    assert get(store, Range="bytes=5-1000004") == DATA[5:1_000_005]
    assert store.head_object(Bucket=BUCKET, Key=KEY)["ContentLength"] == len(DATA)
    seen = [(r.method, r.path, r.range, r.status, r.sent) for r in proxy.requests]
    path = f"/{BUCKET}/{KEY}"
    assert seen == [
        ("GET", path, "", 200, len(DATA)),
        ("GET", path, "bytes=5-1000004", 206, 1_000_000),
        ("HEAD", path, "", 200, 0),
    ]
    assert len({r.client for r in proxy.requests}) == 1
    listed = store.list_objects_v2(Bucket=BUCKET, Prefix="faults/")["Contents"]
    assert [entry["Key"] for entry in listed] == [KEY]
    link = store.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": KEY})
    assert link.startswith(proxy.endpoint)


def test_uploads_of_all_kinds_pass(proxy: Proxy, tmp_path: Any) -> None:
    store = client(proxy)
    (tmp_path / "big").write_bytes(DATA * 4)
    parts = TransferConfig(multipart_threshold=1, multipart_chunksize=5 << 20)
    store.upload_file(str(tmp_path / "big"), BUCKET, "faults/parts", Config=parts)
    assert sum(r.received for r in proxy.requests if r.method == "PUT") == 4 * len(DATA)
    assert store.get_object(Bucket=BUCKET, Key="faults/parts")["Body"].read() == DATA * 4

    link = store.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "faults/chunks"})
    connection = http.client.HTTPConnection(proxy.host, proxy.port)
    pieces = iter([DATA[:1_000_000], DATA[1_000_000:]])
    connection.request("PUT", link.removeprefix(proxy.endpoint), pieces, encode_chunked=True)
    assert connection.getresponse().status == 200
    assert store.get_object(Bucket=BUCKET, Key="faults/chunks")["Body"].read() == DATA
    other = pyarrow.fs.S3FileSystem(endpoint_override=proxy.endpoint)
    with other.open_output_stream(f"{BUCKET}/faults/arrow") as file:
        file.write(DATA)
    assert store.get_object(Bucket=BUCKET, Key="faults/arrow")["Body"].read() == DATA


@pytest.mark.parametrize(("kind", "code"), [("slow_down", 503), ("internal_error", 500)])
def test_a_refusal_is_s3s_own_and_counts_down(proxy: Proxy, kind: Any, code: int) -> None:
    store = client(proxy)
    proxy.plan(Fault(kind, method="GET", after=1, times=2), Fault(kind, method="PUT"))
    get(store)
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            get(store)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == code
        assert refused.value.response["Error"]["Code"] == kind.title().replace("_", "")
    get(store)
    with pytest.raises(ClientError):
        store.put_object(Bucket=BUCKET, Key="faults/refused", Body=DATA)
    assert [r.status for r in proxy.requests] == [200, code, code, 200, code]
    assert "Contents" not in store.list_objects_v2(Bucket=BUCKET, Prefix="faults/refused")


def test_an_answer_breaks_off_and_the_next_is_whole(proxy: Proxy) -> None:
    store = client(proxy)
    ways: dict[Any, tuple[type[Exception], ...]] = {
        "reset": (ResponseStreamingError, ConnectionError),
        "truncate": (IncompleteReadError, ResponseStreamingError),
        "stall": (ReadTimeoutError,),
    }
    for kind, errors in ways.items():
        proxy.plan(Fault(kind, path="*.bin"))
        with pytest.raises(errors):
            get(store)
        assert proxy.requests[-1].sent == len(DATA) // 2
        assert get(store) == DATA
    proxy.plan(Fault("stall", seconds=0.3))
    began = time.monotonic()
    assert get(store) == DATA
    assert time.monotonic() - began > 0.3


def test_corrupt_flips_one_byte_where_it_is_told(proxy: Proxy) -> None:
    proxy.plan(Fault("corrupt", at=1_234_567))
    found = get(client(proxy, response_checksum_validation="when_required"))
    assert [i for i, (a, b) in enumerate(zip(found, DATA, strict=True)) if a != b] == [1_234_567]
    proxy.plan(Fault("corrupt", method="PUT"))
    with pytest.raises(ClientError):
        client(proxy).put_object(Bucket=BUCKET, Key="faults/flipped", Body=DATA)


def test_an_upload_breaks_off_or_its_answer_is_lost(proxy: Proxy) -> None:
    store = client(proxy)
    for kind in ("reset", "lost_answer"):
        proxy.plan(Fault(kind))
        with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
            store.put_object(Bucket=BUCKET, Key=f"faults/{kind}", Body=DATA)
    listed = store.list_objects_v2(Bucket=BUCKET, Prefix="faults/")["Contents"]
    names = [entry["Key"] for entry in listed]
    assert "faults/reset" not in names
    assert "faults/lost_answer" in names


def test_a_store_that_is_away_refuses_and_comes_back(proxy: Proxy) -> None:
    store = client(proxy)
    get(store)
    with proxy.away():
        for _ in range(2):  # the kept connection, then a new one
            with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
                get(store)
    assert get(store) == DATA
    back = proxy.away_for(0.2)
    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        get(store)
    back.join()
    assert get(store) == DATA


def test_a_far_store_takes_its_time(proxy: Proxy) -> None:
    proxy.plan(*faults.far(latency=0.1, rate=10e6))
    began = time.monotonic()
    assert get(client(proxy)) == DATA
    assert 0.4 < time.monotonic() - began < 2  # as it should be, and a busy machine's share

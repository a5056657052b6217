"""A real S3 store for tests and trials: SeaweedFS, one process, gone when it ends.

`python tests/seaweed.py FOLDER` starts one and prints the variables to export, until Ctrl-C.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET, BUCKET = "test", "test-secret", "films"
START_S = 60
CHUNK_MB = 1  # it reads its chunks whole, also for a part of one: no larger than a record batch
CLIENT = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
SERVICES = 8  # ports in a row: s3, master, volume, filer, and their gRPC ones


def free_ports(count: int) -> int:
    """The first of `count` neighbouring free ports, below the range that clients are given."""
    for first in range(20000 + os.getpid() * 97 % 11000, 32000, count):  # processes begin apart
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


@contextmanager
def store(
    folder: Path,
    address: str = "127.0.0.1",
    within: Sequence[str] = (),
    port: int | None = None,
    chunk_mb: int = CHUNK_MB,
) -> Iterator[dict[str, str]]:
    """Serve S3 from `folder`, with one bucket; yields the environment that clients need.

    `within` is a command that runs it elsewhere, such as on a host of the lab; `port` is that of
    an earlier start, for one that comes back.
    """
    port = port or free_ports(SERVICES)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    environment = {
        "AWS_ENDPOINT_URL": f"http://{address}:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*within, *_command(folder, port, address, chunk_mb)], stdout=log, stderr=log,
            env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
        )  # fmt: skip
    try:
        _wait(environment, server, folder / "log")
        yield environment
    finally:
        server.kill()  # it hangs on SIGTERM
        server.wait()


def _command(folder: Path, port: int, address: str, chunk_mb: int) -> list[str]:
    ports = {
        "s3.port": port, "master.port": port + 1, "master.port.grpc": port + 2,
        "volume.port": port + 3, "volume.port.grpc": port + 4, "filer.port": port + 5,
        "filer.port.grpc": port + 6, "s3.port.grpc": port + 7, "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }  # fmt: skip
    weed = Path(sys.executable).with_name("weed")
    return [
        str(weed), f"-logdir={folder}", "server", f"-dir={folder / 'data'}",
        f"-ip={address}", f"-ip.bind={address}", "-volume.max=2000", "-volume.preStopSeconds=1",
        "-filer", f"-filer.maxMB={chunk_mb}", "-s3", f"-s3.config={folder / 's3.json'}",
        "-master.volumeSizeLimitMB=256",
        "-master.telemetry=false", *(f"-{name}={value}" for name, value in ports.items()),
    ]  # fmt: skip


def _wait(environment: dict[str, str], server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until a put and a get succeed: an open port is not readiness."""
    client = boto3.client(
        "s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id=KEY, aws_secret_access_key=SECRET,
    )  # fmt: skip
    deadline = time.monotonic() + START_S
    while True:
        try:
            there = client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou
            with suppress(*there):  # of an earlier try or start
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"yes")
            client.get_object(Bucket=BUCKET, Key="ready")["Body"].read()
            client.delete_object(Bucket=BUCKET, Key="ready")
            return
        except (ClientError, BotoCoreError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.3)


if __name__ == "__main__":
    with store(Path(sys.argv[1])) as variables:
        for name, value in variables.items():
            print(f"export {name}={value}")
        print(f"export BUCKET=s3://{BUCKET}", flush=True)
        with suppress(KeyboardInterrupt):
            time.sleep(10**9)

"""What the doctor measures on a machine: versions, devices, disk, store, and a collective."""

import hashlib
import importlib.metadata
import os
import platform
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rayograph
from rayograph import storage
from rayograph.errors import Failure, UserError

PACKAGES = ("ray", "torch", "torchvision", "numpy", "pyarrow", "boto3", "pydantic")
STORE_BYTES, SMALL_READS = 16_000_000, 8
SHM = Path("/dev/shm")


def versions() -> dict[str, str]:
    """The versions that must agree on all machines; rayograph's is a hash of its source."""
    root = Path(rayograph.__file__).parent
    source = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        source.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    found = {"python": platform.python_version(), "rayograph": source.hexdigest()[:12]}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def machine() -> dict[str, Any]:
    """Free bytes of /dev/shm and of the disk for temporary files, and GPUs that torch sees."""
    return {
        "shm": shutil.disk_usage(SHM).free if SHM.exists() else 0,
        "disk": shutil.disk_usage(tempfile.gettempdir()).free,
        "gpus": _gpus(),
    }


def store(uri: str) -> dict[str, float] | str:
    """Write, list, read and delete below `uri`; bytes/s and seconds, or what stood in the way."""
    place = storage.join(uri, f".rayograph-doctor-{secrets.token_hex(4)}", "probe")
    data = secrets.token_bytes(STORE_BYTES)
    try:
        storage.exists(place)  # some stores make a bucket that is written to
        with _timed() as write:
            storage.write(place, data)
        try:
            with _timed() as read:
                whole = storage.fetch(place)
            parts, part, ranges = [], bytearray(1000), storage.Ranges()
            for number in range(SMALL_READS):
                with _timed() as small:
                    ranges.read(place, 1000 * number, memoryview(part))
                parts.append(small[0])
                if part != data[1000 * number : 1000 * (number + 1)]:
                    return f"{place}: a ranged read gave other bytes than were written"
            if whole != data:
                return f"{place}: a read gave other bytes than were written"
            if [entry.size for entry in storage.listing(storage.parent(place))] != [len(data)]:
                return f"{place}: a listing does not show what was written"
        finally:
            storage.delete([place])
    except (Failure, UserError) as error:
        return str(error)
    return {
        "write": len(data) / write[0],
        "read": len(data) / read[0],
        "latency": statistics.median(parts),
    }


def address() -> tuple[str, int]:
    """An address of this machine, and a port that is free."""
    import socket

    import ray.util

    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), probe.getsockname()[1]


def all_reduce(rank: int, world: int, place: tuple[str, int], gpu: bool, size: int) -> float:
    """Seconds to sum `size` bytes over all workers: the fastest of five times."""
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    dist.init_process_group(
        "nccl" if gpu else "gloo",
        init_method=f"tcp://{place[0]}:{place[1]}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    try:
        tensor = torch.empty(size // 4, device="cuda" if gpu else "cpu")
        seconds = []
        for _ in range(5):
            tensor.fill_(1)
            with _timed() as once:
                dist.all_reduce(tensor)
                found = tensor[-1].item()  # a GPU has done it when Python has the number
            seconds.append(once[0])
            if found != world:
                raise Failure(f"a sum over {world} workers was {found}, not {world}")
        return min(seconds)
    finally:
        dist.destroy_process_group()


@contextmanager
def _timed() -> Iterator[list[float]]:
    """Seconds that the block took, in a list that is empty until then."""
    found: list[float] = []
    began = time.perf_counter()
    yield found
    found.append(time.perf_counter() - began)


def _gpus() -> int:
    """In a process of its own: Ray hides GPUs from those who have not asked for one."""
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return int(done.stdout) if done.returncode == 0 else 0

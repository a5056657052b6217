"""`rayograph doctor`: what is wrong, before money is spent; a line each, with the cure."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayograph import storage
from rayograph.cluster import probe, session
from rayograph.config import RunConfig
from rayograph.errors import Failure, UserError, one_line
from rayograph.train import local
from rayograph.train.stops import deaf

MUST_AGREE = ("python", "rayograph", "ray", "torch")  # the others may matter
SLOW_READ, SLOW_ANSWER = 20e6, 0.1  # bytes/s, s; a GPU worker wants some 10 MB/s and more
CLOCK_WARN, CLOCK_FAIL = 1.0, 60.0  # s; a store refuses requests that are some minutes off
SHM_WANTED, DISK_WANTED = 1e9, 20e9  # bytes
SLOW_SUM = 50e6  # bytes/s; ResNet-50 sums 100 MB a step
SUM_BYTES = 64_000_000
START_S = 90

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Line:
    """One finding: how bad, about what, and what to do."""

    level: Level
    about: str
    message: str


def examine(uri: str | None) -> Iterator[Line]:
    """Look at this machine, the store below `uri`, and every node of the cluster."""
    yield from _resume()
    if uri is not None:
        uri = storage.absolute(uri)
        yield _store("this machine", probe.store(uri), uri)
    try:
        with session.connected(2):
            yield from _cluster(uri)
    except (Failure, UserError) as error:
        yield Line("fail", "cluster", str(error))


def worst(lines: list[Line]) -> Level:
    """The worst level among the lines."""
    levels: tuple[Level, ...] = ("fail", "warn")
    return next((level for level in levels if any(e.level == level for e in lines)), "ok")


class Interrupted(Exception):
    """Ends the tiny run of `_resume` after its first epoch."""


def _resume() -> Iterator[Line]:
    """Whether a tiny run that is interrupted ends as if it had not been, to the bit."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            f"run.storage={folder}", "phantom.films=48", "phantom.size=32", "data.image_size=32",
            "model.name=cnn", "model.width=4", "model.depth=1", "train.epochs=2",
        ]  # fmt: skip
        whole = local.run(RunConfig.load(None, [*words, "run.name=whole"]), lambda _row: None, deaf)
        parted = RunConfig.load(None, [*words, "run.name=parted"])
        try:
            local.run(parted, _interrupt, deaf)
        except Interrupted:
            resumed = local.run(parted, lambda _row: None, deaf)
        figures = [[_figures(row) for row in run.history()] for run in (whole, resumed)]
    if figures[0] == figures[1]:
        yield Line("ok", "resume", "a tiny run that was interrupted ends equal, to the bit")
    else:
        yield Line("fail", "resume", "a tiny run that was interrupted ends otherwise; tell us")


def _interrupt(_row: Mapping[str, Any]) -> None:
    raise Interrupted


def _figures(row: Mapping[str, Any]) -> list[Any]:
    return [row[name] for name in ("epoch", "train_loss", "val_loss", "val_auroc", "lr")]


@ray.remote(num_cpus=0)
class Probe:
    """Sits on a node and measures there."""

    def versions(self) -> dict[str, str]:
        """See `probe.versions`."""
        return probe.versions()

    def machine(self) -> dict[str, Any]:
        """See `probe.machine`."""
        return probe.machine()

    def store(self, uri: str) -> dict[str, float] | str:
        """See `probe.store`."""
        return probe.store(uri)

    def clock(self) -> float:
        """Seconds since 1970 here."""
        return time.time()

    def address(self) -> tuple[str, int]:
        """See `probe.address`."""
        return probe.address()

    def all_reduce(self, rank: int, world: int, place: tuple[str, int], gpu: bool) -> float:
        """See `probe.all_reduce`."""
        return probe.all_reduce(rank, world, place, gpu, SUM_BYTES)


def _cluster(uri: str | None) -> Iterator[Line]:
    nodes = [node for node in ray.nodes() if node["Alive"]]
    have = ray.cluster_resources()
    cpus, gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
    yield Line("ok", "cluster", f"{len(nodes)} nodes, {cpus} CPUs, {gpus} GPUs")
    if not cpus:
        yield Line("fail", "cluster", "no CPU to train on; add worker nodes")
    probes = {}
    for node in nodes:
        name = f"node {node['NodeManagerAddress']}"
        try:
            found = _on(node["NodeID"])
            yield from _versions(name, ray.get(found.versions.remote(), timeout=START_S))
            yield from _machine(name, node, ray.get(found.machine.remote()))
            yield _clock(name, found)
            if uri is not None:
                yield _store(name, ray.get(found.store.remote(uri)), uri)
            probes[name] = (node, found)
        except ray.exceptions.GetTimeoutError:
            yield Line("fail", name, f"no answer in {START_S} s; look at its raylet's log")
        except ray.exceptions.RayError as error:
            yield _broken(name, error)
    yield from _collective([node for node, _ in probes.values()])


def _on(node: str, gpu: int = 0) -> Any:
    here = NodeAffinitySchedulingStrategy(node, soft=False)
    return Probe.options(scheduling_strategy=here, num_gpus=gpu).remote()  # type: ignore[attr-defined]


def _broken(name: str, error: Exception) -> Line:
    if "No module named" in str(error) or "has no attribute" in str(error):
        return Line(
            "fail", name,
            "has no rayograph, or an older one; install the same there, or submit with "
            "--runtime-env job/runtime_env.yaml, which brings it",
        )  # fmt: skip
    return Line("fail", name, f"{one_line(error)}; look at its raylet's log")


def _versions(name: str, there: Mapping[str, str]) -> Iterator[Line]:
    here = probe.versions()
    differing = [key for key in here if here[key] != there.get(key, "absent")]
    if not differing:
        text = ", ".join(f"{key} {here[key]}" for key in ("python", "ray", "torch"))
        yield Line("ok", name, f"the same versions as here: {text}")
        return
    bad = any(key in MUST_AGREE for key in differing)
    told = ", ".join(f"{k} {there.get(k, 'absent')} (here {here[k]})" for k in differing)
    cure = "install constraints.txt and this package there"
    if differing == ["rayograph"]:
        told = f"rayograph's source differs ({there['rayograph']}, here {here['rayograph']})"
        cure = "install the same there, or submit with --runtime-env job/runtime_env.yaml"
    yield Line("fail" if bad else "warn", name, f"{told}; {cure}")


def _machine(name: str, node: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[Line]:
    counted = int(node["Resources"].get("GPU", 0))
    if found["gpus"] != counted:
        yield Line(
            "fail", name,
            f"Ray counts {counted} GPUs, torch sees {found['gpus']}; check the driver, the "
            "image's CUDA, and the node's --num-gpus",
        )  # fmt: skip
    elif counted:
        yield Line("ok", name, f"torch sees its {counted} GPUs")
    for what, wanted, cure in (
        ("shm", SHM_WANTED, "mount /dev/shm with more memory"),
        ("disk", DISK_WANTED, "free or mount more for temporary files"),
    ):
        word = {"shm": "/dev/shm", "disk": "disk"}[what]
        free = f"{found[what] / 1e9:.1f} GB of {word} free"
        enough = found[what] >= wanted
        tail = "" if enough else f", less than {wanted / 1e9:g}; {cure}"
        yield Line("ok" if enough else "warn", name, free + tail)


def _clock(name: str, found: Any) -> Line:
    before = time.time()
    there = ray.get(found.clock.remote())
    after = time.time()
    off, unsure = there - (before + after) / 2, (after - before) / 2
    text = f"its clock is {off:+.3f} s off (± {unsure:.3f})"
    if abs(off) - unsure > CLOCK_WARN:
        level: Level = "fail" if abs(off) > CLOCK_FAIL else "warn"
        return Line(level, name, f"{text}; run an NTP client there")
    return Line("ok", name, text)


def _store(name: str, found: Mapping[str, float] | str, uri: str) -> Line:
    if isinstance(found, str):
        return Line("fail", f"store from {name}", found)
    text = (
        f"{uri}: writes {found['write'] / 1e6:.0f} MB/s, reads {found['read'] / 1e6:.0f} MB/s, "
        f"answers in {1000 * found['latency']:.1f} ms"
    )
    if found["read"] < SLOW_READ or found["latency"] > SLOW_ANSWER:
        cure = "slow: put it into the cluster's region or network, or look at what stands between"
        return Line("warn", f"store from {name}", f"{text}; {cure}")
    return Line("ok", f"store from {name}", text)


def _collective(nodes: list[Mapping[str, Any]]) -> Iterator[Line]:
    """A sum over a worker on every GPU, else on every node with CPUs, or two on the only one."""
    gpus = [node["NodeID"] for node in nodes for _ in range(int(node["Resources"].get("GPU", 0)))]
    cpus = [node["NodeID"] for node in nodes if node["Resources"].get("CPU", 0)]
    places = gpus or (cpus if len(cpus) > 1 else cpus * 2)
    world, kind = len(places), "GPUs" if gpus else "nodes" if len(cpus) > 1 else "processes"
    if world < 2:
        return
    try:
        workers = [_on(place, int(bool(gpus))) for place in places]
        place = ray.get(workers[0].address.remote(), timeout=START_S)
        sums = [w.all_reduce.remote(i, world, place, bool(gpus)) for i, w in enumerate(workers)]
        seconds = max(ray.get(sums, timeout=2 * START_S))
    except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
        reason = one_line(getattr(error, "cause", None) or error)
        yield Line(
            "fail", "collective",
            f"a sum over {world} {kind} failed: {reason}; workers must reach each other on all "
            "ports (security group, network policy), and be idle",
        )  # fmt: skip
        return
    rate = 2 * (world - 1) / world * SUM_BYTES / seconds  # what crosses each worker's wire
    text = f"a sum over {world} {kind}: {rate / 1e6:.0f} MB/s a worker"
    if rate < SLOW_SUM:
        yield Line("warn", "collective", f"{text}, slow; use machines with a faster network")
    else:
        yield Line("ok", "collective", text)

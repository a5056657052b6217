"""The main job and a sweep on four hosts: a store, a head without CPUs, two workers."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray.util import state

from tests import head, lab, seaweed
from tests.conftest import rayograph

pytestmark = [pytest.mark.cluster, lab.needs_lab]
STORE, HEAD, WORKERS = 0, 1, (2, 3)
PORT, DASHBOARD, METRICS = 6379, 8265, 8090
COMMON = ("--block", f"--metrics-export-port={METRICS}")
SMALL = ("data.image_size=32", "model.width=8", "model.depth=2", "cluster.workers=2")


@dataclass(frozen=True)
class Lab:
    """`submitter`: the environment of those who submit, without credentials; `node`: a node's."""

    submitter: dict[str, str]
    node: dict[str, str]
    store: dict[str, str]
    python: str

    def join(self, host: int) -> None:
        """Let a host join the cluster as a worker of one CPU."""
        lab.start(host, [
            self.python, *head.START, f"--address={lab.address(HEAD)}:{PORT}", "--num-cpus=1",
            f"--node-ip-address={lab.address(host)}", *COMMON,
        ], self.node)  # fmt: skip

    def joined(self) -> int:
        """Nodes that are alive."""
        nodes = state.list_nodes(address=self.submitter["RAY_ADDRESS"])
        return sum(node.state == "ALIVE" for node in nodes)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A store, a head, and workers that have joined it."""
    home = tmp_path_factory.mktemp("hosts")
    with (
        lab.hosts(4),
        seaweed.store(home / "store", lab.address(STORE), lab.within(STORE)) as store,
    ):
        python = head.bare(home)
        node = {**head.nodes_environment(home), **store}
        lab.start(HEAD, [
            python, *head.START, "--head", "--num-cpus=0", f"--port={PORT}",
            f"--node-ip-address={lab.address(HEAD)}", "--dashboard-host=0.0.0.0",
            f"--dashboard-port={DASHBOARD}", *COMMON,
        ], node)  # fmt: skip
        bare = {k: v for k, v in head.nodes_environment(home).items() if not k.startswith("AWS_")}
        submitter = {**bare, "RAY_ADDRESS": f"http://{lab.address(HEAD)}:{DASHBOARD}"}
        head.wait(submitter, lambda: True, lab.console(HEAD))
        found = Lab(submitter, node, store, python)
        for host in WORKERS:
            found.join(host)
        until(lambda: found.joined() == 3, 60)
        yield found


def until(true: Callable[[], bool], within_s: float) -> float:
    """Wait, and return how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, [lab.console(h).read_text() for h in WORKERS]
        time.sleep(0.5)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def phantoms(hosts: Lab, films: Path) -> str:
    """The URI of packed phantoms in the hosts' store."""
    uri = f"s3://{seaweed.BUCKET}/phantoms"
    packed = rayograph(
        "pack", str(films), uri, "pack.size=32", r"pack.patient_pattern=(p\d+)_\d+\.png",
        **hosts.store,
    )  # fmt: skip
    assert packed.returncode == 0, packed.stderr
    return uri


def test_jobs_run_on_hosts_and_the_nodes_hold_the_credentials(hosts: Lab, phantoms: str) -> None:
    submitter, store = hosts.submitter, hosts.store
    bucket = f"s3://{seaweed.BUCKET}"

    healthy = head.submit(submitter, "job/doctor.py", f"{bucket}/phantoms")
    levels = re.findall(r"^(ok|warn|fail) ", healthy, re.MULTILINE)
    assert "fail" not in levels, healthy
    assert healthy.count("ok    store from node") == 3
    assert "a sum over 2 nodes" in healthy

    seen: set[str] = set()
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(1):
            for host in WORKERS:
                place = f"http://{lab.address(host)}:{METRICS}/metrics"
                try:
                    text = urllib.request.urlopen(place, timeout=5).read().decode()
                except OSError:
                    continue
                seen.update(line.split(" ")[0] for line in text.splitlines() if "rayograph" in line)

    watcher = threading.Thread(target=scrape)
    watcher.start()
    words = (f"data.uri={bucket}/phantoms", f"run.storage={bucket}/runs", *SMALL)
    told = head.submit(submitter, "job/train.py", "demo", *words, "train.epochs=40")
    done.set()
    watcher.join()
    assert told.count("epoch 40/40  loss") == 1
    assert re.search(r"waited \d+% for films, \d+% for workers", told)
    assert any("rayograph_films_per_second" in name and 'run="demo"' in name for name in seen)
    parts = {m for name in seen for m in re.findall(r'rayograph_step_seconds.*part="(\w+)"', name)}
    assert parts == {"data", "device", "compute", "workers", "checkpoint"}
    assert any("rayograph_checkpoint_seconds" in name for name in seen)

    tab = urllib.request.urlopen(f"{submitter['RAY_ADDRESS']}/api/train/v2/runs/v1", timeout=30)
    assert [run["name"] for run in json.load(tab)["train_runs"]] == ["demo"], "the Train tab"

    space = f"{bucket}/spaces/hosts.yaml"
    script = "import sys; from rayograph import storage; storage.write(sys.argv[1], b'"
    script += "sweep.searcher: grid\\noptim.lr: {grid: [1e-3, 4e-3]}')"
    subprocess.run([sys.executable, "-c", script, space], env={**submitter, **store}, check=True)
    told = head.submit(submitter, "tune/sweep.py", "demo", space, *words, "train.epochs=3")
    assert "winner: trial_0000" in told
    judged = rayograph("evaluate", f"{bucket}/runs/demo-hosts/best", "--json", **store)
    assert json.loads(judged.stdout)["films"] > 100

    actors = state.list_actors(address=submitter["RAY_ADDRESS"], detail=True, limit=1000)
    workers = [actor for actor in actors if actor.class_name == "RayTrainWorker"]
    by_job: dict[str, set[str]] = {}
    for actor in workers:
        by_job.setdefault(actor.job_id, set()).add(actor.node_id)
    assert len(by_job) == 2, "one job trained, one swept"
    assert all(len(nodes) == 2 for nodes in by_job.values()), "workers on different hosts"
    records = str(actors) + str(state.list_jobs(address=submitter["RAY_ADDRESS"], detail=True))
    assert store["AWS_SECRET_ACCESS_KEY"] not in records

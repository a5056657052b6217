"""The main job and a sweep on four hosts: a store, a head without CPUs, two workers."""

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.util import state

from tests import head, lab, seaweed
from tests.conftest import rayograph

pytestmark = [pytest.mark.cluster, lab.needs_lab]
SMALL = ("data.image_size=32", "model.width=8", "model.depth=2", "cluster.workers=2")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Cluster]:
    """A store, a head, and workers that have joined it."""
    with lab.cluster(tmp_path_factory.mktemp("hosts")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def phantoms(hosts: lab.Cluster, films: Path) -> str:
    """The URI of packed phantoms in the hosts' store."""
    uri = f"s3://{seaweed.BUCKET}/phantoms"
    packed = rayograph(
        "pack", str(films), uri, "pack.size=32", r"pack.patient_pattern=(p\d+)_\d+\.png",
        **hosts.store,
    )  # fmt: skip
    assert packed.returncode == 0, packed.stderr
    return uri


def test_jobs_run_on_hosts_and_the_nodes_hold_the_credentials(
    hosts: lab.Cluster, phantoms: str
) -> None:
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
            for host in lab.WORKERS:
                place = f"http://{lab.address(host)}:{lab.METRICS}/metrics"
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
    judged = head.submit(submitter, "job/evaluate.py", f"{bucket}/runs/demo-hosts/best", "--json")
    assert "judged by 2 workers on 2 machines" in judged
    films = re.search(r'"films": (\d+)', judged)
    assert films is not None
    assert int(films[1]) > 100

    actors = state.list_actors(address=submitter["RAY_ADDRESS"], detail=True, limit=1000)
    workers = [actor for actor in actors if actor.class_name == "RayTrainWorker"]
    by_job: dict[str, set[str]] = {}
    for actor in workers:
        by_job.setdefault(actor.job_id, set()).add(actor.node_id)
    assert len(by_job) == 2, "one job trained, one swept"
    assert all(len(nodes) == 2 for nodes in by_job.values()), "workers on different hosts"
    records = str(actors) + str(state.list_jobs(address=submitter["RAY_ADDRESS"], detail=True))
    assert store["AWS_SECRET_ACCESS_KEY"] not in records

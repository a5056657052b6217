"""Sweeps of minutes: on a standing cluster by job submit, killed, with lost workers, and PBT."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.util import state

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.runs.folder import RunFolder
from tests.conftest import REPOSITORY, rayograph
from tests.head import CPUS, submit

pytestmark = pytest.mark.cluster
SMALL = ("data.image_size=32", "model.width=4", "model.depth=2", "train.batch_size=200")


def begin(*words: str) -> "subprocess.Popen[str]":
    """Start `rayograph sweep` without waiting for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "rayograph", "sweep", *words], cwd=REPOSITORY, text=True,
        env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ledger(sweep: str) -> list[dict[str, Any]]:
    place = f"{sweep}/trials.jsonl"
    lines = storage.read(place).decode().splitlines() if storage.exists(place) else []
    return [json.loads(line) for line in lines]


def wait(process: "subprocess.Popen[str]", ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def finish(process: "subprocess.Popen[str]") -> str:
    output, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return output


def trial_processes(driver: int) -> list[psutil.Process]:
    """The processes in which a driver's trials train; Ray writes what they do over their names."""
    children = psutil.Process(driver).children(recursive=True)
    return [p for p in children if p.cmdline()[:1] == ["ray::ImplicitFunc.train"]]


def test_a_killed_sweep_goes_on_where_it_was(s3: str, packed: Dataset, tmp_path: Path) -> None:
    space = tmp_path / "killed.yaml"
    space.write_text("sweep.searcher: grid\noptim.lr: {grid: [1e-3, 2e-3, 3e-3]}\n")
    words = ("demo", str(space), f"data.uri={packed.uri}", f"run.storage={s3}/killed")
    words = (*words, *SMALL, "cluster.workers=1", "train.epochs=20", "checkpoint.keep=all")
    words = (*words, f"cluster.cpus_per_worker={os.cpu_count()}")  # one trial after the other
    sweep = f"{s3}/killed/demo-killed"
    process = begin(*words)
    wait(process, lambda: any(t["state"] == "finished" for t in ledger(sweep))
         and any(t["state"] == "running" and t["epoch"] > 2 for t in ledger(sweep)))  # fmt: skip
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {
        t["run"]: RunFolder(f"{sweep}/trials/{t['run']}").checkpoints() for t in ledger(sweep)
    }
    ended = [t["run"] for t in ledger(sweep) if t["state"] == "finished"]
    assert 0 < len(ended) < 3
    pickle = f"{sweep}/tune/tuner.pkl"
    storage.write(pickle, storage.read(pickle)[:100])

    told = finish(begin(*words, "--json"))
    found = json.loads(told)
    assert [t["state"] for t in found["trials"]] == ["finished"] * 3
    best = max(t["best"]["score"] for t in found["trials"])
    for run, checkpoints in before.items():
        folder = RunFolder(f"{sweep}/trials/{run}")
        assert [row["epoch"] for row in folder.history()] == list(range(1, 21))
        assert len(folder.checkpoints()) == 20
        assert checkpoints.items() <= folder.checkpoints().items(), "an epoch was done twice"
        if run in ended:
            assert checkpoints == folder.checkpoints(), "a finished trial was repeated"
        assert max(row["val_auroc"] for row in folder.history()) <= best
    assert json.loads(storage.read(f"{sweep}/best/winner.json"))["score"] == best


def test_a_lost_process_is_told_and_its_trial_goes_on(
    s3: str, packed: Dataset, tmp_path: Path
) -> None:
    space = tmp_path / "lost.yaml"
    space.write_text("sweep.searcher: grid\noptim.lr: {grid: [1e-3, 2e-3]}\n")
    words = ("demo", str(space), f"data.uri={packed.uri}", f"run.storage={s3}/lost", *SMALL)
    sweep = f"{s3}/lost/demo-lost"
    process = begin(*words, "cluster.workers=1", "train.epochs=40", "--json")
    wait(process, lambda: any(t["epoch"] > 2 for t in ledger(sweep)))
    wait(process, lambda: bool(trial_processes(process.pid)))
    trial_processes(process.pid)[0].kill()
    found = json.loads(finish(process))
    assert [t["state"] for t in found["trials"]] == ["finished"] * 2
    assert sorted(t["retries"] for t in found["trials"]) == [0, 1]
    lost = next(t for t in found["trials"] if t["retries"])
    assert lost["message"].startswith("process lost once: ")
    rows = RunFolder(f"{sweep}/trials/{lost['run']}").history()
    assert [row["epoch"] for row in rows] == list(range(1, 41))


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sweep_publishes_the_best_so_far(
    sent: signal.Signals, status: int, packed: Dataset, tmp_path: Path
) -> None:
    space = tmp_path / "stopped.yaml"
    space.write_text("sweep.searcher: grid\noptim.lr: {grid: [1e-3, 2e-3, 3e-3]}\n")
    words = ("demo", str(space), f"data.uri={packed.uri}", f"run.storage={tmp_path}", *SMALL)
    sweep = f"{tmp_path}/demo-stopped"
    process = begin(*words, "cluster.workers=1", "train.epochs=1000")
    wait(process, lambda: any(t["epoch"] > 2 for t in ledger(sweep)))
    process.send_signal(sent)
    output, told = process.communicate(timeout=60)
    assert process.returncode == status, told
    assert "3 trials are not finished; run the same command again to continue" in told
    assert "Traceback" not in told
    assert "winner: trial_0000" in output
    assert RunFolder(f"{sweep}/best").history()
    stopped = ledger(sweep)
    assert {t["state"] for t in stopped} == {"waiting"}
    assert Path(sweep, "sweep.html").exists()
    timed = rayograph("sweep", *words, "cluster.workers=1", "train.epochs=1000",
                      "sweep.max_time=15", "--json")  # fmt: skip
    assert timed.returncode == 0, timed.stderr
    later = json.loads(timed.stdout)["trials"]
    assert {t["state"] for t in later} == {"waiting"}
    assert "3 trials are not finished; run the same command again to continue" in timed.stderr
    assert sum(t["epoch"] for t in later) > sum(t["epoch"] for t in stopped)


def test_pbt_hands_weights_over(packed: Dataset, tmp_path: Path) -> None:
    space = tmp_path / "population.yaml"
    space.write_text(
        "sweep.scheduler: pbt\nsweep.max_trials: 4\nsweep.perturb_every: 2\n"
        "optim.lr: {loguniform: [1e-5, 1e-2]}\naugment.rotation: {uniform: [0, 10]}\n"
    )
    words = ("demo", str(space), f"data.uri={packed.uri}", f"run.storage={tmp_path}", *SMALL)
    done = rayograph(
        "sweep", *words, "cluster.workers=1", "train.epochs=10", "optim.schedule=constant", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    handed = [(t, each) for t in found["trials"] for each in t["handovers"]]
    assert len(handed) >= 2
    sweep = Path(tmp_path, "demo-population", "trials")
    for trial, each in handed:
        assert each["source"] != trial["trial"]
    for trial in (t for t in found["trials"] if t["handovers"]):
        last = trial["handovers"][-1]
        assert trial["params"] == last["params"]
        rows = RunFolder(str(sweep / trial["run"])).history()
        taken = rows[: last["epoch"]]
        donors = [RunFolder(str(path)).history() for path in sweep.glob(f"{last['source']}*")]
        told = [[row["val_loss"] for row in donor[: last["epoch"]]] for donor in donors]
        assert [row["val_loss"] for row in taken] in told, "the weights' past is the donor's"
        assert all(row["checkpoint"] is None for row in taken)
        assert rows[last["epoch"]]["lr"] == pytest.approx(trial["params"]["optim.lr"])


def test_a_dozen_stopped_trials_leave_nothing_behind(
    cluster: dict[str, str], s3: str, packed: Dataset
) -> None:
    before, seen, done = left(cluster), [], threading.Event()

    def look() -> None:
        while not done.wait(5):
            seen.append(groups(cluster))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for workers, trials in ((1, 8), (2, 4)):
            space = f"{s3}/spaces/many{workers}.yaml"
            options = f"sweep.scheduler: asha\nsweep.max_trials: {trials}\nsweep.reduction: 2\n"
            storage.write(space, (options + "optim.lr: {loguniform: [1e-5, 1e-2]}\n").encode())
            told = submit(
                cluster, "tune/sweep.py", "demo", space, f"data.uri={packed.uri}",
                f"run.storage={s3}/many", *SMALL, f"cluster.workers={workers}", "train.epochs=4",
            )  # fmt: skip
            assert told.count("winner: trial_") == 1
            found = ledger(f"{s3}/many/demo-many{workers}")
            assert len(found) == trials
            assert {t["state"] for t in found} == {"finished", "stopped"}, "ASHA stopped some"
    finally:
        done.set()
        watcher.join()
    assert rayograph("evaluate", f"{s3}/many/demo-many2/best").returncode == 0
    # two trials of two workers at once: a group for each driver and each pair, some being freed
    assert max(seen) <= 8, seen
    deadline = time.monotonic() + 60
    while left(cluster) != before and time.monotonic() < deadline:
        time.sleep(1)
    assert left(cluster) == before
    records = str(state.list_actors(address=cluster["RAY_ADDRESS"], detail=True, limit=1000))
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in records, "a secret in Ray's records"


def groups(cluster: dict[str, str]) -> int:
    """The placement groups that hold something."""
    found = state.list_placement_groups(address=cluster["RAY_ADDRESS"], limit=1000)
    return sum(group.state == "CREATED" for group in found)


def left(cluster: dict[str, str]) -> dict[str, float]:
    """What is held on the cluster: actors, placement groups, and CPUs."""
    address = cluster["RAY_ADDRESS"]
    alive = state.list_actors(address=address, filters=[("state", "=", "ALIVE")], limit=1000)
    ray_s = ("_AutoscalingCoordinatorActor", "TrainStateActor")  # one each, for the cluster's life
    own = [actor for actor in alive if actor.class_name not in ray_s]
    free = json.loads(
        subprocess.run(
            [sys.executable, "-c", "import ray, json; ray.init(log_to_driver=False);"
             "print(json.dumps(ray.available_resources()))"],
            env={**cluster, "RAY_ADDRESS": cluster["GCS"]}, capture_output=True, check=True,
        ).stdout
    )  # fmt: skip
    return {"actors": len(own), "groups": groups(cluster), "CPUs": CPUS - free.get("CPU", 0)}

"""The worker's side of a run under Ray Train."""

import secrets
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.torch
import torch

from rayograph import storage
from rayograph.cluster import ray_internals
from rayograph.cluster.gauges import Gauges
from rayograph.config import RunConfig
from rayograph.data.cache import Cache
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged, Stopped, UserError
from rayograph.runs import history
from rayograph.runs.checkpoint import checkpoint_name, upload
from rayograph.runs.folder import RunFolder
from rayograph.train import world as worlds
from rayograph.train.loop import start
from rayograph.train.state import CheckpointPayload

ASK_S = 1.0  # between two looks at the monitor


@dataclass(frozen=True)
class Job:
    """What every worker is given: the config, the dataset's URI, the monitor."""

    config: RunConfig
    dataset: str
    monitor: Any  # a handle of RunMonitor


def train_loop_per_worker(given: Mapping[str, Any]) -> None:
    """What Ray Train calls in each worker; `given` holds the `job`."""
    job: Job = given["job"]
    config, monitor = job.config, job.monitor
    if config.cluster.gpus_per_worker:
        torch.cuda.set_device(ray.train.torch.get_device())
    world = worlds.current(config.cluster)
    storage.mark_reachable()  # the driver has reached it
    if world.agree(lambda: ray.get(monitor.register_start.remote(world.size))) is not None:
        return
    folder = RunFolder.of(config)
    reporter = RayReporter(folder, config.run.name, config.train.leader, monitor)
    refuse = monitor.refuse.remote  # what every worker meets; to raise it would start again
    opened: list[Dataset] = []
    cache = Cache.of(config.data)
    try:
        fold = config.data.fold
        world.agree(lambda: opened.append(Dataset.open(job.dataset, cache, fold)), everyone=True)
        trainer = start(config, folder, opened[0], reporter, world)
    except UserError as error:
        ray.get(refuse(error))
        return
    if world.rank == 0:
        position = (trainer.state.epoch, trainer.state.step)
        ray.get(monitor.resumed_at.remote(position, reporter.resumed))
    try:
        trainer.fit(reporter)
    except Diverged as error:
        ray.get(refuse(error))
    except Stopped:
        return  # the driver asked for it


class RayReporter:
    """Reports to Ray Train; checkpoints go up through `storage`, not through Ray."""

    def __init__(self, folder: RunFolder, name: str, leader: str, monitor: Any) -> None:
        self._folder = folder
        self._leader = leader
        self._attempt = secrets.token_hex(4)
        self._leads = ray.train.get_context().get_world_rank() == 0
        self._gauges = Gauges(name)
        self._stop = threading.Event()
        self._notice: Any = None
        self.resumed: str | None = None
        if self._leads:
            threading.Thread(target=self._listen, args=(monitor,), daemon=True).start()

    def latest(self) -> str | None:
        """The newest checkpoint that Ray has committed, else one that torchrun left; or within."""
        checkpoint = ray.train.get_checkpoint()
        found = uri_of(checkpoint) if checkpoint else self._folder.latest()
        if found:
            self._folder.publish(found, self._leader)
        self.resumed = self._folder.resume_from(found)
        return self.resumed

    def stopping(self) -> bool:
        """Whether the driver has asked for it."""
        return self._stop.is_set()

    def preempted(self) -> bool:
        """Whether Ray was told of a node that is drained; it marks every worker, one may say so."""
        notice = ray_internals.preemption_notice()
        if not self._leads or notice == self._notice:
            return False
        self._notice = notice
        return True

    def _listen(self, monitor: Any) -> None:
        with suppress(ray.exceptions.RayError):  # the driver has gone, and this process goes, too
            while not ray.get(monitor.stop_requested.remote()):
                time.sleep(ASK_S)
            self._stop.set()

    def name(self, epoch: int) -> str:
        """The name of an epoch's checkpoint."""
        return checkpoint_name(epoch, self._attempt)

    def report(self, rows: Sequence[Mapping[str, Any]], payload: CheckpointPayload | None) -> None:
        """Report to Ray Train, a barrier of all workers; rank 0 brings the checkpoint."""
        row = rows[-1]
        figures = {"row": dict(row), "score": history.standing(rows, self._leader)}
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint = None
            if payload is not None:
                payload.write(Path(scratch))
                checkpoint = ray.train.Checkpoint.from_directory(scratch)
            began = time.perf_counter()
            ray.train.report(
                figures,
                checkpoint=checkpoint,
                checkpoint_dir_name=row["checkpoint"],
                checkpoint_upload_fn=self._upload,
            )
        if self._leads:
            self._gauges.show(row, time.perf_counter() - began if payload is not None else None)

    def _upload(self, checkpoint: ray.train.Checkpoint, name: str) -> ray.train.Checkpoint:
        uri = storage.join(self._folder.uri, name)
        upload(Path(checkpoint.path), uri)
        place = ray.train.get_context().get_storage()
        path = f"{place.experiment_fs_path}/{name}"
        return ray.train.Checkpoint(path, filesystem=place.storage_filesystem)


def uri_of(checkpoint: ray.train.Checkpoint) -> str:
    """The URI of a checkpoint that Ray knows."""
    filesystem: Any = checkpoint.filesystem
    s3 = "s3" in filesystem.type_name
    return storage.absolute(f"s3://{checkpoint.path}" if s3 else checkpoint.path)

"""The worker's side of a run under Ray Train."""

import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch

from rayograph import config as configs
from rayograph import storage
from rayograph.cluster.gauges import Gauges
from rayograph.config import Config
from rayograph.data import prepare
from rayograph.data.dataset import Dataset
from rayograph.errors import Diverged, UserError
from rayograph.train import history
from rayograph.train import world as worlds
from rayograph.train.folder import RunFolder, checkpoint_name
from rayograph.train.loop import start
from rayograph.train.reporter import Save, upload


def work(job: Mapping[str, Any]) -> None:
    """What Ray Train calls in each worker. `job`: config (a nested dict), dataset (URI), board."""
    config = configs.parse(job["config"])
    if config.cluster.gpus_per_worker:
        torch.cuda.set_device(ray.train.torch.get_device())
    world = worlds.current(config.cluster)
    reporter = RayReporter(config)
    refuse = job["board"].refuse.remote  # what every worker meets; to raise it would start again
    try:
        dataset = Dataset.open(job["dataset"], prepare.cache(config.data))
        trainer = start(config, dataset, reporter, world)
    except UserError as error:
        ray.get(refuse(error))
        return
    try:
        trainer.fit(reporter)
    except Diverged as error:
        ray.get(refuse(error))


class RayReporter:
    """Reports to Ray Train; checkpoints go up through `storage`, not through Ray."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = RunFolder.of(config)
        self._attempt = secrets.token_hex(4)
        self._leads = ray.train.get_context().get_world_rank() == 0
        self._gauges = Gauges(config.run.name)

    def latest(self) -> str | None:
        """The newest checkpoint that Ray has committed; else one that torchrun left."""
        checkpoint = ray.train.get_checkpoint()
        found = uri_of(checkpoint) if checkpoint else self._folder.latest()
        if found and self._leads:
            self._folder.publish(found, self._config.train.select)
        return found

    def name(self, epoch: int) -> str:
        """The name of an epoch's checkpoint."""
        return checkpoint_name(epoch, self._attempt)

    def report(self, row: Mapping[str, Any], save: Save | None) -> None:
        """Report to Ray Train, a barrier of all workers; rank 0 brings the checkpoint."""
        figures = {"row": dict(row), "score": history.score(row, self._config.train.select)}
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint = None
            if save is not None and self._leads:
                save(Path(scratch))
                checkpoint = ray.train.Checkpoint.from_directory(scratch)
            began = time.perf_counter()
            ray.train.report(
                figures,
                checkpoint=checkpoint,
                checkpoint_dir_name=row["checkpoint"],
                checkpoint_upload_fn=self._upload,
            )
        if self._leads:
            self._gauges.show(row, time.perf_counter() - began if save is not None else None)

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

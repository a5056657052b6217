"""A run under Ray Train, from the driver: check, start the workers, show, and say how it ended."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.torch
from ray.train.v2.api.callback import UserCallback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayograph import storage
from rayograph.cluster.options import ClusterOptions
from rayograph.cluster.progress import Board, shown
from rayograph.cluster.worker import uri_of, work
from rayograph.config import Config
from rayograph.data import prepare
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.models.build import check
from rayograph.train.folder import RunFolder
from rayograph.train.world import TIMEOUT


def prepare_run(config: Config) -> tuple[RunFolder, Dataset]:
    """Everything that can go wrong before a cluster is asked for."""
    check(config.model, config.data.image_size)
    dataset = prepare.dataset(config)
    dataset.split("train")
    folder = RunFolder.of(config)
    folder.begin(config)
    return folder, dataset


def fit(
    config: Config, folder: RunFolder, dataset: Dataset, show: Callable[[Mapping[str, Any]], None]
) -> None:
    """Train on the cluster that Ray is connected to; go on where an earlier start ended.

    `show` gets each epoch's row once its checkpoint is committed. Raises `UserError` or `Failure`
    with the workers' own reason.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = Board.options(scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    job = {"config": config.model_dump(mode="json"), "dataset": dataset.uri, "board": board}
    refusal = None
    trainer = ray.train.torch.TorchTrainer(
        work,
        train_loop_config=job,
        torch_config=ray.train.torch.TorchConfig(timeout_s=int(TIMEOUT.total_seconds())),
        scaling_config=_scaling(config),
        run_config=_run(config, folder, board),
    )
    try:
        with shown(board, show):
            trainer.fit()
        with suppress(ray.exceptions.RayActorError):  # the run outlived its board
            refusal = ray.get(board.refusal.remote())
    except SystemExit:  # what Ray makes of Ctrl-C
        raise KeyboardInterrupt from None
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
        raise _reason(folder, error) from error
    if refusal is not None:
        raise refusal


def missing(options: ClusterOptions) -> str | None:
    """What the cluster lacks for these workers; one that grows on demand may get there."""
    have: dict[str, float] = ray.cluster_resources()
    for kind, each in (("CPU", options.cpus_per_worker), ("GPU", options.gpus_per_worker)):
        need = each * options.workers
        if have.get(kind, 0) < need:
            return f"waiting for {need:g} {kind}s: the cluster has {have.get(kind, 0):g}"
    return None


def _scaling(config: Config) -> ray.train.ScalingConfig:
    cluster = config.cluster
    resources: dict[str, float] = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        resources["GPU"] = cluster.gpus_per_worker
    return ray.train.ScalingConfig(
        num_workers=cluster.workers,
        use_gpu=cluster.gpus_per_worker > 0,
        resources_per_worker=resources,
    )


def _run(config: Config, folder: RunFolder, board: Any) -> ray.train.RunConfig:
    filesystem, path = storage.filesystem(config.run.storage)
    keep = config.checkpoint.keep
    return ray.train.RunConfig(
        name=config.run.name,
        storage_path=path,
        storage_filesystem=filesystem,
        checkpoint_config=ray.train.CheckpointConfig(
            num_to_keep=None if keep == "all" else keep,
            checkpoint_score_attribute="score",
            checkpoint_score_order="max",
        ),
        failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]
            max_failures=3, controller_failure_limit=3
        ),
        callbacks=[Publisher(folder.uri, config.train.select, board)],  # type: ignore[list-item]
    )


class Publisher(UserCallback):
    """Runs in Ray Train's controller once a checkpoint is committed: only then is it shown."""

    def __init__(self, uri: str, select: str, board: Any) -> None:
        self._folder = RunFolder(uri)
        self._select = select
        self._board = board

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:  # noqa: ARG002
        """Update `best/` and `history.jsonl`, and put rank 0's row on the board."""
        if checkpoint is not None:
            self._folder.publish(uri_of(checkpoint), self._select)
        self._board.add.remote(metrics[0]["row"])


def _reason(folder: RunFolder, error: Exception) -> Exception:
    """One worker's own error, in one line; ours before those that it caused in other workers."""
    failures = list((getattr(error, "worker_failures", None) or {0: error}).values())
    causes = [getattr(failure, "cause", None) or failure for failure in failures]
    cause = next((cause for cause in causes if isinstance(cause, (Failure, UserError))), causes[0])
    lines = [line for line in str(cause).splitlines() if line.strip()] or [type(cause).__name__]
    return Failure(f"{folder.uri}: training failed: {lines[-1].strip()}")

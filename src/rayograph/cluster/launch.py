"""A run under Ray Train, from the driver: check, start the workers, show, and say how it ended."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any

import ray
import ray.exceptions
import ray.train
import ray.train.torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayograph import storage
from rayograph.cluster import ray_internals
from rayograph.cluster.monitor import POLL_S, RunMonitor, shown
from rayograph.cluster.worker import Job, train_loop_per_worker, uri_of
from rayograph.config import ClusterOptions, RunConfig
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, UserError
from rayograph.pack import prepare
from rayograph.runs import tracking
from rayograph.runs.folder import RunFolder, with_resume_hint
from rayograph.train.checks import check_run
from rayograph.train.stops import Listen, StopRequest
from rayograph.train.world import TIMEOUT

RESIZE_S = 30.0  # between two looks for room for more workers; a resize is a restart
AGAIN_S = 5.0
STOP_S = 100  # RAY_JOB_STOP_WAIT_TIME_S=120, in k8s/ and cluster.yaml, gives it 120
log = logging.getLogger("rayograph.launch")


@contextmanager
def prepared(config: RunConfig) -> Iterator[tuple[RunFolder, Dataset]]:
    """Everything that can go wrong before a cluster is asked for; the folder is held meanwhile."""
    dataset = prepare.dataset(config)
    check_run(config, dataset)
    folder = RunFolder.of(config)
    with storage.held(folder.uri, "run"):
        folder.begin(config)
        yield folder, dataset


def fit(
    config: RunConfig,
    folder: RunFolder,
    dataset: Dataset,
    show: Callable[[Mapping[str, Any]], None],
    listen: Listen,
) -> None:
    """Train on the cluster that Ray is connected to; go on where an earlier start ended.

    `show` gets each epoch's row once its checkpoint is committed. Where `listen` hears that the run
    shall stop, the workers save their position first. Raises `UserError` or `Failure` with
    the workers' own reason.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    monitor = RunMonitor.options(  # type: ignore[attr-defined]
        scheduling_strategy=here, max_restarts=-1, max_task_retries=-1
    ).remote()
    job = Job(config, dataset.uri, monitor)
    fingerprint = dataset.manifest.fingerprint
    try:
        with (
            tracking.followed(config, folder, fingerprint) as follow,
            shown(monitor, follow(show)),
            listen() as stop,
        ):
            _fit_again_if_records_fail(lambda: _trainer(job, folder), monitor, stop)
        with suppress(ray.exceptions.RayActorError):  # the run outlived its monitor
            if (refusal := ray.get(monitor.refusal.remote())) is not None:
                raise refusal
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
        raise with_resume_hint(_reason(folder, error), _saved(monitor)) from error
    except Failure as error:
        raise with_resume_hint(error, _saved(monitor)) from error


def _saved(monitor: Any) -> str | None:
    with suppress(ray.exceptions.RayError):
        saved: str | None = ray.get(monitor.saved.remote())
        return saved
    return None


def _trainer(job: Job, folder: RunFolder) -> Any:
    return ray.train.torch.TorchTrainer(
        train_loop_per_worker,
        train_loop_config={"job": job},
        torch_config=ray_internals.SturdyTorchConfig(timeout_s=int(TIMEOUT.total_seconds())),
        scaling_config=_scaling(job.config.cluster),
        run_config=_run(job, folder),
    )


def _fit_again_if_records_fail(trainer: Callable[[], Any], monitor: Any, stop: StopRequest) -> None:
    """Train; where Ray's own bookkeeping could not be written, begin again under the same name.

    Where the store is away as Ray starts, its controller dies of it. The first error is the one
    that says what was to be written.
    """
    first: tuple[float, Exception] | None = None
    before = 0
    while True:
        try:
            _wait(trainer(), monitor, stop)
            return
        except (ray.train.ControllerError, ray.exceptions.RayActorError) as error:
            if ray_internals.found_no_room(error):  # four times
                raise
            progress = ray.get(monitor.progress.remote())
            if first is None or progress != before:
                first, before = (time.monotonic(), error), progress
            if time.monotonic() - first[0] > storage.RETRY_TIMEOUT_S:
                raise first[1] from error
            told = _cause([error])
            log.warning("Ray's record of the run cannot be kept; starting again: %s", told)
            if stop.asked.wait(AGAIN_S):
                stop.raise_again()


def _wait(trainer: Any, monitor: Any, stop: StopRequest) -> None:
    """Train in a thread, so that this one hears signals; at the first one the workers are told."""
    ended: Future[Any] = Future()

    def fit() -> None:
        try:
            ended.set_result(trainer.fit())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=fit, name="fit", daemon=True).start()
    while not stop.asked.is_set():
        if wait([ended], POLL_S).done:
            ended.result()
            return
    if ray.get(monitor.request_stop.remote()):  # a worker is there to hear it
        if wait([ended], STOP_S).done:
            ended.result()
        else:
            log.warning("the workers did not save their position within %d s", STOP_S)
    stop.raise_again()


def missing(options: ClusterOptions) -> str | None:
    """What the cluster lacks for these workers; one that grows on demand may get there."""
    have: dict[str, float] = ray.cluster_resources()
    for kind, each in (("CPU", options.cpus_per_worker), ("GPU", options.gpus_per_worker)):
        need = each * options.least
        if have.get(kind, 0) < need:
            if kind == "GPU" and not os.environ.get("RAY_ADDRESS"):  # nobody will add one here
                raise UserError(
                    f"cluster.gpus_per_worker={each:g}: this machine has {have.get(kind, 0):g} "
                    f"GPUs, {need:g} are needed; use 0 to train on CPUs, or set RAY_ADDRESS"
                )
            return f"waiting for {need:g} {kind}s: the cluster has {have.get(kind, 0):g}"
    return None


def _scaling(cluster: ClusterOptions) -> ray.train.ScalingConfig:
    resources: dict[str, float] = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        resources["GPU"] = cluster.gpus_per_worker
    return ray.train.ScalingConfig(  # type: ignore[call-arg]
        num_workers=cluster.workers,  # type: ignore[arg-type]
        elastic_resize_monitor_interval_s=RESIZE_S,
        use_gpu=cluster.gpus_per_worker > 0,
        resources_per_worker=resources,
    )


def _run(job: Job, folder: RunFolder) -> ray.train.RunConfig:
    config = job.config
    filesystem, path = storage.filesystem(config.run.storage)
    keep = config.checkpoint.keep
    callbacks: list[Any] = [Publisher(folder, config.train.leader, job.monitor)]
    starts = 3  # that find no room or end before the first step; the monitor counts the others
    if config.cluster.least < config.cluster.most:
        callbacks.append(ray_internals.ElasticCapacity())
        starts = ray_internals.STARTS
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
            max_failures=-1,
            controller_failure_limit=starts,
        ),
        callbacks=callbacks,
    )


class Publisher(ray.train.UserCallback):
    """Runs in Ray Train's controller once a checkpoint is committed: only then is it shown."""

    def __init__(self, folder: RunFolder, leader: str, monitor: Any) -> None:
        self._folder = folder
        self._leader = leader
        self._monitor = monitor

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:  # noqa: ARG002
        """Update `best/` and `history.jsonl`, and give rank 0's row to the monitor."""
        storage.mark_reachable()  # a worker has just reached it
        saved = uri_of(checkpoint) if checkpoint is not None else None
        if saved is not None:
            self._folder.publish(saved, self._leader)
        self._monitor.record_epoch.remote(metrics[0]["row"], saved)

    def after_exception(self, run_context: Any, worker_exceptions: Any) -> None:  # noqa: ARG002
        """Keep what ended the workers, for the case that it ends them again."""
        self._monitor.record_failure.remote(_cause(worker_exceptions.values()))


def _reason(folder: RunFolder, error: Exception) -> Failure:
    failures = list((getattr(error, "worker_failures", None) or {0: error}).values())
    return Failure(f"{folder.uri}: training failed: {_cause(failures)}")


def _cause(failures: Iterable[Exception]) -> str:
    """One worker's own error, in one line; ours before those that it caused in other workers."""
    causes = [getattr(failure, "cause", None) or failure for failure in failures]
    cause = next((cause for cause in causes if isinstance(cause, (Failure, UserError))), causes[0])
    lines = [line for line in str(cause).splitlines() if line.strip()] or [type(cause).__name__]
    return lines[-1].strip()

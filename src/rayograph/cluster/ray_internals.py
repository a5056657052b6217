"""The one file that touches Ray's private names; tests/unit/test_ray_internals.py holds each.

Ray 2.60. Whoever raises the version runs those tests first.
"""

import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.context import get_train_context
from ray.tune.execution import class_cache

COORDINATOR = "AutoscalingCoordinator"  # the named actor, and its namespace
ROOM_S = 10  # to wait for room that should be there; then it is counted anew
STARTS = 100  # such waits that a run may need before its controller gives up
SETTLE_S = 60.0  # until a host that does not answer is given up by Ray
ANSWER_S = 1.0
SECRETS = {  # which Tune would put into the cluster's records of every trial
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
}
log = logging.getLogger("rayograph.ray")


class _Backend(_TorchBackend):
    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Ask the workers to leave their group; one that was killed for its memory cannot.

        Ray expects `RayActorError` here, but such a worker answers with `OutOfMemoryError`, which
        is none: its controller would end and keep the CPUs of the run.
        """
        try:
            super().on_shutdown(worker_group, backend_config)
        except ray.exceptions.OutOfMemoryError as error:
            log.warning("a worker was killed for its memory: %s", error)


@dataclass
class SturdyTorchConfig(TorchConfig):
    """Ray Train's own process group, but a worker killed for its memory does not end the run."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What Ray Train calls as workers start and end."""
        return _Backend


class ElasticCapacity(ControllerCallback):
    """Runs in Ray Train's controller: its view of the room there is, renewed where it is stale.

    Ray decides how many workers to start by reservations that an actor computes from the nodes it
    saw up to 20 s ago (`_AutoscalingCoordinatorActor.TICK_INTERVAL_S`). Right after a host is lost
    it still counts that host, and the controller then waits for a placement group that cannot be
    made until `RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S` has passed.
    """

    def after_controller_start(self, train_run_context: Any) -> None:  # noqa: ARG002
        """Wait only briefly for room, since it can be less than was counted."""
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(ROOM_S)
        _count_room()

    def before_controller_execute_failure_decision(self, failure_decision: Any) -> None:  # noqa: ARG002
        """Before workers start again: wait until Ray knows which hosts are lost, and count."""
        deadline = time.monotonic() + SETTLE_S
        while any(map(_silent, ray.nodes())) and time.monotonic() < deadline:
            time.sleep(0.2)
        _count_room()


def _silent(node: dict[str, Any]) -> bool:
    """Whether a node that Ray believes alive does not answer."""
    if not node["Alive"]:
        return False
    place = node["NodeManagerAddress"], node["NodeManagerPort"]
    try:
        socket.create_connection(place, ANSWER_S).close()
    except OSError:
        return True
    return False


def _count_room() -> None:
    coordinator: Any = ray.get_actor(COORDINATOR, namespace=COORDINATOR)
    try:
        ray.get(coordinator.get_reserved_resources.remote("", recompute=True), timeout=5)
    except ray.exceptions.RayError as error:
        log.warning("the room for workers is not counted anew: %s", error)


def found_no_room(error: Exception) -> bool:
    """Whether a controller ended because the workers could not be placed."""
    failure = getattr(error, "controller_failure", None)
    return isinstance(failure, WorkerGroupStartupTimeoutError)


def preemption_notice() -> Any:
    """What Ray was told of nodes that are drained, None if nothing; on every worker.

    The public `get_preemption_info` says the same, but is a barrier of all workers.
    """
    return get_train_context().preemption_context.preemption_info


def share_with_trials(names: set[str]) -> None:
    """Give trials these environment variables, and no secret: Tune's list has the latter."""
    class_cache.ENV_VARS_TO_PROPAGATE.update(names)
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(SECRETS)

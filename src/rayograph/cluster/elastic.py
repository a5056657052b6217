"""Elastic workers: Ray Train's view of the room there is, made fresh where it would be stale.

Ray 2.60 decides how many workers to start by reservations that an actor computes from the nodes it
saw up to 20 s ago (`_AutoscalingCoordinatorActor.TICK_INTERVAL_S`). Right after a host is lost it
still counts that host, and the controller then waits for a placement group that cannot be made
until `RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S` has passed.
"""

import logging
import os
import socket
import time
from typing import Any

import ray
import ray.exceptions
from ray.train.v2._internal.execution.callback import ControllerCallback

WAIT_S = 10  # for room that should be there; then it is counted anew
STARTS = 100  # such waits that a run may need before its controller gives up
SETTLE_S = 60.0  # until a host that does not answer is given up by Ray
ANSWER_S = 1.0
log = logging.getLogger("rayograph.elastic")


class Room(ControllerCallback):
    """Runs in Ray Train's controller."""

    def after_controller_start(self, train_run_context: Any) -> None:  # noqa: ARG002
        """Wait only briefly for room, since it can be less than was counted."""
        os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(WAIT_S)
        _count()

    def before_controller_execute_failure_decision(self, failure_decision: Any) -> None:  # noqa: ARG002
        """Before workers start again: wait until Ray knows which hosts are lost, and count."""
        deadline = time.monotonic() + SETTLE_S
        while any(map(_silent, ray.nodes())) and time.monotonic() < deadline:
            time.sleep(0.2)
        _count()


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


def _count() -> None:
    name = "AutoscalingCoordinator"
    coordinator: Any = ray.get_actor(name, namespace=name)
    try:
        ray.get(coordinator.get_reserved_resources.remote("", recompute=True), timeout=5)
    except ray.exceptions.RayError as error:
        log.warning("the room for workers is not counted anew: %s", error)

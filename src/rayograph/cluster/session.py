"""One connection to Ray: the cluster that RAY_ADDRESS names, or Ray on this machine alone."""

import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
import ray.exceptions

from rayograph import storage
from rayograph.errors import Failure, UserError, one_line

T = TypeVar("T")
R = TypeVar("R")

ANSWER_S = 10.0
SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a report is committed when the controller looks
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else each print of a worker shows twice
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # a busy machine, or one that is being rented
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this environment, not a copy of it
}


@contextmanager
def connected(cpus: int, dashboard: bool = False) -> Iterator[None]:
    """Be connected to Ray within the block.

    A cluster is used where RAY_ADDRESS names one; otherwise Ray is started on this machine, with at
    least `cpus` CPUs even where there are fewer, and ended after the block. An outer block's
    connection is used as it is. With the dashboard goes the state API, by which Ray frees what a
    stopped trial of several workers has held.
    """
    if ray.is_initialized():
        yield
        return
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    address = os.environ.get("RAY_ADDRESS")
    if address and address.startswith("http"):
        raise UserError(f"RAY_ADDRESS={address}: is for `ray job submit`; submit, or unset it")
    if address:
        os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")  # the dashboard's Train tab
    else:
        options |= {"address": "local", "include_dashboard": dashboard}
        options["num_cpus"] = max(cpus, os.cpu_count() or 1)
        # An actor less: nobody takes this machine back.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    if address:
        _check_answers(address)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options)
    except (OSError, RuntimeError, ValueError) as error:
        place = address or "this machine"
        raise Failure(f"Ray at {place}: {one_line(error).rstrip('.')}; {_cure(error)}") from None
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own there
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise `Failure` where nobody answers: Ray itself would ask for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # auto, local
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except OSError as error:
        raise Failure(
            f"RAY_ADDRESS={address}: no cluster answers there: {one_line(error)}; check the "
            "address, and that the head is up"
        ) from None


def _cure(error: Exception) -> str:
    """What to do about what keeps Ray from starting, or from being reached."""
    if "AF_UNIX path" in str(error):
        return "set RAY_TMPDIR or TMPDIR to a shorter path"
    if os.environ.get("RAY_ADDRESS"):
        return "check RAY_ADDRESS, and that the head is up"
    if isinstance(error, OSError) or "home directory" in str(error):
        return "set HOME, and TMPDIR and RAY_TMPDIR if they are set, to folders that can be written"
    return "look at its logs, below session_latest/logs"


def parallel_map(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Map `function` over items in Ray tasks; results come in order.

    No more tasks wait than twice the CPUs, so that results do not pile up in memory.
    """

    def reaching(item: T) -> R:
        storage.mark_reachable()  # the driver has reached it
        return function(item)

    task: Any = ray.remote(num_cpus=1, max_retries=3)(reaching)
    limit = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[Any] = deque()
    rest = iter(items)
    for _ in items:
        while len(waiting) < limit and (item := next(rest, None)) is not None:
            waiting.append(task.remote(item))
        try:
            yield ray.get(waiting.popleft())
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise Failure(f"{what}: a task was lost: {one_line(error)}") from None

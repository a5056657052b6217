"""Torch's process group, as Ray Train sets it up and takes it down."""

import logging
from dataclasses import dataclass
from typing import Any

import ray.exceptions
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

log = logging.getLogger("rayograph.backend")


class _Backend(_TorchBackend):
    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Ask the workers to leave their group; one that was killed for its memory cannot.

        Ray 2.60 expects `RayActorError` here, but such a worker answers with `OutOfMemoryError`,
        which is none: its controller would end and keep the CPUs of the run.
        """
        try:
            super().on_shutdown(worker_group, backend_config)
        except ray.exceptions.OutOfMemoryError as error:
            log.warning("a worker was killed for its memory: %s", error)


@dataclass
class Torch(TorchConfig):
    """Ray Train's own, except for a worker that was killed for its memory."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What Ray Train calls as workers start and end."""
        return _Backend

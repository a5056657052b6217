"""What a run shows to Prometheus, by Ray's own exporter on each node."""

from collections.abc import Mapping
from typing import Any

from ray.util.metrics import Gauge

from rayograph.train.clock import PARTS


class Gauges:
    """The newest epoch's figures, under the run's name; set by the worker of rank 0."""

    def __init__(self, run: str) -> None:
        self._run = {"run": run}
        self._films = Gauge(
            "rayograph_films_per_second", "films trained per second, all workers", ("run",)
        )
        self._step = Gauge(
            "rayograph_step_seconds",
            "mean time of an optimizer step by part: data, device, compute, workers, checkpoint",
            ("run", "part"),
        )
        self._checkpoint = Gauge(
            "rayograph_checkpoint_seconds", "how long training waited for a checkpoint", ("run",)
        )
        self._epoch = Gauge("rayograph_epoch", "epochs that are done", ("run",))

    def show(self, row: Mapping[str, Any], checkpoint: float | None) -> None:
        """Take an epoch's row, and the seconds of its checkpoint if it had one."""
        self._films.set(row["films_per_s"], self._run)
        self._epoch.set(row["epoch"], self._run)
        for part in PARTS:
            self._step.set(row[f"{part}_s"] / row["steps"], {**self._run, "part": part})
        if checkpoint is not None:
            self._checkpoint.set(checkpoint, self._run)

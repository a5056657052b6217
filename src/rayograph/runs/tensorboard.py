"""A run's history as TensorBoard reads it: one event file, rewritten whole."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "events.out.tfevents.0.rayograph"
NOT_FIGURES = ("epoch", "checkpoint")


def events(history: Sequence[Mapping[str, Any]]) -> bytes:
    """The event file of these epochs; the step is the epoch, the time the seconds trained."""
    from tensorboardX import SummaryWriter

    with tempfile.TemporaryDirectory() as folder:
        trained = 0.0
        with SummaryWriter(folder, write_to_disk=True) as writer:
            for row in history:
                trained += row["seconds"]
                for name, value in row.items():
                    if name not in NOT_FIGURES and value is not None and math.isfinite(value):
                        writer.add_scalar(_tag(name), value, row["epoch"], walltime=trained)
        (file,) = Path(folder).iterdir()
        return file.read_bytes()


def _tag(name: str) -> str:
    part, _, figure = name.partition("_")
    return f"{figure}/{part}" if part in ("train", "val", "test") else f"run/{name}"

"""Checkpoints inside an epoch: copied at once, written beside the training, complete or absent.

They have the form of any checkpoint, and are what an interrupted run goes on from as long as no
later one is committed; they are never the best one, and none is left when the run is finished.
"""

import logging
import secrets
import tempfile
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rayograph import storage
from rayograph.config import CheckpointOptions
from rayograph.errors import Failure, UserError
from rayograph.runs.checkpoint import snapshot_name, upload
from rayograph.runs.folder import RunFolder
from rayograph.train.state import CheckpointPayload

KEPT = 2  # a start may just be reading the one before the newest
_log = logging.getLogger("rayograph.snapshots")


class Snapshots:
    """Rank 0's; the others only hear when one is due."""

    def __init__(self, folder: RunFolder, options: CheckpointOptions) -> None:
        self._folder = folder
        self._options = options
        self._attempt = secrets.token_hex(4)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._under_way: Future[None] | None = None
        self._taken = time.monotonic()
        self._steps = 0
        self._own: deque[str] = deque(maxlen=KEPT)

    def due(self) -> bool:
        """Whether one is due after the step under way; asked once a step."""
        self._steps += 1
        if self._under_way is not None and not self._under_way.done():
            return False
        if self._options.steps is not None:
            return self._steps >= self._options.steps
        passed = time.monotonic() - self._taken
        return self._options.seconds is not None and passed >= self._options.seconds

    def take(self, payload: CheckpointPayload, epoch: int, step: int) -> None:
        """Write a snapshot of this position; waits only for one that is still being written."""
        self.flush()
        self._taken, self._steps = time.monotonic(), 0
        uri = storage.join(self._folder.uri, snapshot_name(epoch, step, self._attempt))
        self._under_way = self._writer.submit(self._write, payload, uri)

    def flush(self) -> None:
        """Wait until what was taken is written; an error of the store is told, not raised."""
        if self._under_way is not None:
            try:
                self._under_way.result()
            except (Failure, UserError) as error:
                _log.warning("no checkpoint inside the epoch: %s", error)
            self._under_way = None

    def clear(self) -> None:
        """Delete what a run that is finished needs no more."""
        self.flush()
        self._folder.forget_snapshots(but=())

    def _write(self, payload: CheckpointPayload, uri: str) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            payload.write(Path(scratch))
            upload(Path(scratch), uri)
        self._own.append(uri)
        self._folder.forget_snapshots(but=self._own)

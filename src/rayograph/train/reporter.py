"""Where an epoch's figures and checkpoint go: Ray Train, a Tune trial, or a folder."""

import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rayograph import storage
from rayograph.runs import checkpoint, folder, history
from rayograph.runs.folder import RunFolder
from rayograph.train.state import CheckpointPayload
from rayograph.train.world import World


class Reporter(Protocol):
    """What the loop asks of its surroundings; every worker calls `report` equally often."""

    def latest(self) -> str | None:
        """The URI of the checkpoint to go on from, if there is one; asked on rank 0."""

    def stopping(self) -> bool:
        """Whether the run shall end after the step under way, to go on another time."""

    def preempted(self) -> bool:
        """Whether a machine is about to be taken away, so that to save is urgent; once a notice."""

    def name(self, epoch: int) -> str:
        """The name of an epoch's checkpoint; rank 0's counts."""

    def report(self, rows: Sequence[Mapping[str, Any]], payload: CheckpointPayload | None) -> None:
        """Take the epochs, the last one new; where that has a checkpoint, rank 0 brings it."""


class FolderReporter:
    """Reports into the run folder: under torchrun, or in one process."""

    def __init__(
        self,
        run: RunFolder,
        leader: str,
        keep: int | str,
        world: World,
        show: Callable[[Mapping[str, Any]], None],
        stop: threading.Event,
    ) -> None:
        self._run = run
        self._leader = leader
        self._keep = keep
        self._world = world
        self._attempt = secrets.token_hex(4)
        self._show = show
        self._stop = stop
        self.saved: str | None = None  # the newest complete checkpoint that is known of

    def latest(self) -> str | None:
        """The newest complete checkpoint in the folder, published where it is not yet.

        Ray Train's record of the run goes: it would not know of what is made here.
        """
        storage.delete([storage.join(self._run.uri, folder.RAYS)])
        found = self._run.latest()
        if found:
            self._run.publish(found, self._leader)
        self.saved = self._run.resume_from(found)
        return self.saved

    def stopping(self) -> bool:
        """Whether a signal came that `train.local` listens for."""
        return self._stop.is_set()

    def preempted(self) -> bool:
        """Without Ray, SIGTERM is all the notice there is."""
        return False

    def name(self, epoch: int) -> str:
        """The name of an epoch's checkpoint."""
        return checkpoint.checkpoint_name(epoch, self._attempt)

    def report(self, rows: Sequence[Mapping[str, Any]], payload: CheckpointPayload | None) -> None:
        """Upload the checkpoint, publish it, and forget those that need not be kept."""
        if self._world.rank == 0:
            if payload is not None:
                uri = storage.join(self._run.uri, rows[-1]["checkpoint"])
                with tempfile.TemporaryDirectory() as scratch:
                    payload.write(Path(scratch))
                    checkpoint.upload(Path(scratch), uri)
                self.saved = uri
                self._run.publish(uri, self._leader)
                self._prune()
            self._show(rows[-1])
        self._world.barrier()

    def _prune(self) -> None:
        if isinstance(self._keep, str):  # all
            return
        best = history.ranked(self._run.history(), self._leader)[: self._keep]
        found = self._run.checkpoints()
        kept = {max(found), *(row["epoch"] for row in best)}
        for epoch, uri in found.items():
            if epoch not in kept:
                checkpoint.delete(uri)

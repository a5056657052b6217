"""A run without Ray: under torchrun, or in this process alone."""

import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.errors import Failure, Stopped, UserError
from rayograph.pack import prepare
from rayograph.runs import tracking
from rayograph.runs.folder import RunFolder, with_resume_hint
from rayograph.train import loop, places
from rayograph.train.checks import check_run
from rayograph.train.reporter import FolderReporter
from rayograph.train.stops import Listen
from rayograph.train.world import World, torchrun


def run(config: RunConfig, show: Callable[[Mapping[str, Any]], None], listen: Listen) -> RunFolder:
    """Train in the processes that torchrun started, writing the same folder as Ray Train.

    `show` gets each epoch's row, `listen` hears who asks to stop.

    Raises `UserError` as `RunFolder.begin` does, and where a batch is too small for the workers.
    """
    folder = RunFolder.of(config)
    with torchrun(config.cluster) as world:
        try:
            with ExitStack() as stack:
                _run(config, folder, world, show, listen, stack)
        except UserError:
            if world.rank:  # one line is enough
                sys.exit(2)
            raise
    return folder


def _run(
    config: RunConfig,
    folder: RunFolder,
    world: World,
    show: Callable[[Mapping[str, Any]], None],
    listen: Listen,
    stack: ExitStack,
) -> None:
    def begin() -> None:
        places.check(config)
        stack.enter_context(storage.held(folder.uri, "run"))
        check_run(config, prepare.dataset(config))
        folder.begin(config)

    cluster = config.cluster.model_copy(update={"workers": world.size})
    config = RunConfig.parse(config.model_copy(update={"cluster": cluster}).model_dump())
    world.agree(begin)
    storage.mark_reachable()  # rank 0 has reached it
    dataset = prepare.dataset(config)
    leader, keep = config.train.leader, config.checkpoint.keep
    leads = world.rank == 0  # who tells the tracker
    fingerprint = dataset.manifest.fingerprint
    with tracking.followed(config, folder, fingerprint, leads) as follow, listen() as stop:
        reporter = FolderReporter(folder, leader, keep, world, follow(show), stop.asked)
        try:
            loop.start(config, folder, dataset, reporter, world).fit(reporter)
        except Failure as error:
            raise with_resume_hint(error, reporter.saved) from error
        except Stopped:
            if stop.signal is None:  # another worker heard it
                sys.exit(128 + signal.SIGTERM)
            stop.raise_again()

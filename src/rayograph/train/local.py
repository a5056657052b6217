"""A run without Ray: under torchrun, or in this process alone."""

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.data import prepare
from rayograph.errors import Failure, Stopped, UserError
from rayograph.models.build import check
from rayograph.train import loop
from rayograph.train.folder import RunFolder, going_on
from rayograph.train.reporter import FolderReporter
from rayograph.train.stops import listening
from rayograph.train.world import World, torchrun


def run(config: RunConfig, show: Callable[[Mapping[str, Any]], None]) -> RunFolder:
    """Train in the processes that torchrun started, writing the same folder as Ray Train.

    Raises `UserError` as `RunFolder.begin` does, and where a batch is too small for the workers.
    """
    with torchrun(config.cluster) as world:
        try:
            _run(config, world, show)
        except UserError:
            if world.rank:  # one line is enough
                sys.exit(2)
            raise
    return RunFolder.of(config)


def _run(config: RunConfig, world: World, show: Callable[[Mapping[str, Any]], None]) -> None:
    def begin() -> None:
        check(config.model, config.data.image_size)
        prepare.dataset(config).split("train")
        RunFolder.of(config).begin(config)

    cluster = config.cluster.model_copy(update={"workers": world.size})
    config = RunConfig.parse(config.model_copy(update={"cluster": cluster}).model_dump())
    world.agree(begin)
    storage.vouch()  # rank 0 has reached it
    dataset = prepare.dataset(config)
    with listening() as stop:
        reporter = FolderReporter(config, world, show, stop.asked)
        try:
            loop.start(config, dataset, reporter, world).fit(reporter)
        except Failure as error:
            raise going_on(error, reporter.saved) from error
        except Stopped:
            if stop.signal is None:  # another worker heard it
                sys.exit(128 + signal.SIGTERM)
            stop.again()

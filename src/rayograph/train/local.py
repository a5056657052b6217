"""A run without Ray: under torchrun, or in this process alone."""

from collections.abc import Callable, Mapping
from typing import Any

from rayograph.config import Config, parse
from rayograph.data import prepare
from rayograph.models.build import check
from rayograph.train.folder import RunFolder
from rayograph.train.loop import train
from rayograph.train.reporter import FolderReporter
from rayograph.train.world import torchrun


def run(config: Config, show: Callable[[Mapping[str, Any]], None]) -> RunFolder:
    """Train in the processes that torchrun started, writing the same folder as Ray Train.

    Raises `UserError` as `RunFolder.begin` does, and where a batch is too small for the workers.
    """
    folder = RunFolder.of(config)
    with torchrun(config.cluster) as world:
        cluster = config.cluster.model_copy(update={"workers": world.size})
        config = parse(config.model_copy(update={"cluster": cluster}).model_dump())

        def begin() -> None:
            check(config.model, config.data.image_size)
            prepare.dataset(config.data, config.phantom, config.run.storage).split("train")
            folder.begin(config)

        world.agree(begin)
        dataset = prepare.dataset(config.data, config.phantom, config.run.storage)
        train(config, dataset, FolderReporter(config, world, show), world)
    return folder

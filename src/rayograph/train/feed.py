"""What the steps and the validation are fed: films, or their features where these never change."""

from collections.abc import Callable, Generator, Mapping
from typing import Protocol

from torch import nn

from rayograph.config import RunConfig
from rayograph.data import stream
from rayograph.data.dataset import Dataset
from rayograph.data.order import Plan
from rayograph.data.stream import Batch
from rayograph.data.transforms import Transform
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Logits
from rayograph.evaluate.unlike.bank import Bank, LastLayer
from rayograph.runs.folder import RunFolder
from rayograph.train.features import MOST_BYTES, Features
from rayograph.train.world import World

Alive = Callable[[], None]


class Feed(Protocol):
    """Samples in global batches, and the network that is trained on them."""

    network: nn.Module  # the whole model, or its last layer
    shape: tuple[int, ...]  # of what that sees of a sample
    transform: Transform  # from what a batch holds to what the network sees

    def prepare(self, alive: Alive) -> None:
        """Do once what comes before the first epoch, all workers together."""

    def training(self, plan: Plan, start: int) -> Generator[Batch, None, None]:
        """This worker's share of each global batch of an epoch, from step `start` on."""

    def judge(self, model: nn.Module, alive: Alive) -> tuple[Logits, Bank]:
        """This worker's part of what the model says of the validation films, and their bank."""

    def news(self) -> Mapping[str, float]:
        """What was done since this was last asked, for the history."""

    def clear(self) -> None:
        """Delete what a run that is finished needs no more; rank 0 is asked."""


class Samples:
    """The films themselves: read, changed and seen by the whole model in each epoch."""

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        model: nn.Module,
        transform: Transform,
        shape: tuple[int, ...],
        world: World,
    ) -> None:
        self.network = model
        self.shape = shape
        self.transform = transform
        self._config = config
        self._dataset = dataset
        self._world = world

    def prepare(self, alive: Alive) -> None:
        """Nothing."""

    def training(self, plan: Plan, start: int) -> Generator[Batch, None, None]:
        """Films out of storage; as `stream.training`."""
        return stream.training(
            self._dataset, "train", plan, self._world.rank, self._world.size, start,
            threads=self._config.cluster.cpus_per_worker, pin=self._world.device.type == "cuda",
        )  # fmt: skip

    def judge(self, model: nn.Module, alive: Alive) -> tuple[Logits, Bank]:
        """Every world-th record batch of the validation films."""
        dataset, world = self._dataset, self._world
        bank = Bank(model, self._config.model.name, dataset.split("val").rows)
        with bank.last.listening():
            own = inference.logits(
                model, dataset, "val", self.transform, dataset.task.outputs,
                world.device, world.rank, world.size, alive, bank.note,
            )  # fmt: skip
        return own, bank

    def news(self) -> Mapping[str, float]:
        """None."""
        return {}

    def clear(self) -> None:
        """Nothing."""


def features_bytes(
    config: RunConfig, dataset: Dataset, model: nn.Module, transform: Transform
) -> int | None:
    """What the features of the training and validation films take; None where they change.

    They do where the model below its last layer is trained, or a film is changed at random.
    """
    if not config.model.freeze_backbone or transform.draws:
        return None
    rows = sum(dataset.split(name).rows for name in ("train", "val") if name in dataset.splits)
    return 4 * rows * LastLayer(model, config.model.name).width


def build(
    config: RunConfig,
    folder: RunFolder,
    dataset: Dataset,
    model: nn.Module,
    transform: Transform,
    world: World,
) -> Feed:
    """Features where they never change and fit in memory, else films."""
    spec = dataset.transform(config.data, config.evaluate)
    wanted = features_bytes(config, dataset, model, transform)
    if wanted is None or wanted > MOST_BYTES:
        return Samples(config, dataset, model, transform, spec.shape, world)
    return Features(config, folder, dataset, model, transform, spec, world)

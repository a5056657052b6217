"""Features of films by a frozen model, computed once: a linear probe needs no film twice.

Below its last layer a frozen model is a function of the film alone, where nothing changes the film
at random. What it makes of each film, the last layer's input, is computed by all workers together
before the first epoch, and kept in the run folder until the run is finished.
"""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.data.order import Plan
from rayograph.data.recipe import TransformSpec
from rayograph.data.stream import Batch
from rayograph.data.transforms import Transform
from rayograph.errors import UserError
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Logits
from rayograph.evaluate.unlike.bank import Bank, LastLayer
from rayograph.models import files
from rayograph.models.build import family_of, head
from rayograph.runs.folder import RunFolder
from rayograph.train.world import World

MOST_BYTES = 2**29  # of features, which each worker holds: 100,000 films of 1,280 numbers
FOLDER = "features"  # in the run folder


@dataclass(frozen=True)
class Kept:
    """Of a split with n films: features float32 [n, d], labels int8 [n, k], and the films' bank.

    The bank's features float32 [m, d] and grays [m, 82] are of m of the films.
    """

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]
    bank_features: npt.NDArray[np.float32]
    bank_grays: npt.NDArray[np.float32]


class Features:
    """A `Feed` of features; the network that is trained is the model's last layer."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        dataset: Dataset,
        model: nn.Module,
        transform: Transform,
        spec: TransformSpec,
        world: World,
    ) -> None:
        self.network = head(model, config.model.name)
        self.shape: tuple[int, ...] = (LastLayer(model, config.model.name).width,)
        self.transform: Transform = _AsTheyAre()
        self._config = config
        self._folder = storage.join(folder.uri, FOLDER)
        self._dataset = dataset
        self._model = model
        self._seen = {"train": _AsInTraining(transform), "val": transform}
        self._spec = spec
        self._world = world
        self._kept: dict[str, Kept] = {}
        self._news: dict[str, float] = {}

    def prepare(self, alive: Callable[[], None]) -> None:
        """Compute the features, or read those that an earlier start of this run has computed."""
        began, films = time.perf_counter(), 0
        digest = self._world.agree(self._digest)
        for split in [name for name in self._seen if name in self._dataset.splits]:
            place = storage.join(self._folder, f"{split}-{digest}.safetensors")
            if self._world.agree(lambda place=place: storage.exists(place)):  # type: ignore[misc]
                self._kept[split] = self._read(place, split)
                continue
            self._kept[split] = self._computed(split, alive)
            films += self._dataset.split(split).rows
            if self._world.rank == 0:
                tensors = {n: torch.from_numpy(v) for n, v in vars(self._kept[split]).items()}
                storage.write(place, files.write(tensors, {}))
        if films:
            seconds = round(time.perf_counter() - began, 3)
            self._news = {"features_computed": films, "features_s": seconds}

    def training(self, plan: Plan, start: int) -> Generator[Batch, None, None]:
        """Features of the same films in the same batches as of `stream.training`."""
        kept, world = self._kept["train"], self._world
        for step in range(start, plan.steps):
            batch, share = plan.batch(step), plan.share(step, world.rank, world.size)
            rows = batch[share]
            yield Batch(kept.features[rows], kept.labels[rows], rows, share, len(batch))

    @torch.inference_mode()
    def judge(self, model: nn.Module, alive: Callable[[], None]) -> tuple[Logits, Bank]:
        """Every world-th validation film; the bank, which does not change, is rank 0's."""
        kept, world, name = self._kept["val"], self._world, self._config.model.name
        n, last = len(kept.labels), head(model, name).eval()
        rows = np.arange(world.rank, n, world.size)
        values = np.zeros((n, self._dataset.task.outputs), np.float32)
        out = Logits(values, np.zeros_like(kept.labels), np.zeros(n, np.int64), {})
        for start in range(0, len(rows), inference.BATCH):
            part = rows[start : start + inference.BATCH]
            features = torch.from_numpy(kept.features[part]).to(world.device)
            values[part] = last(features).float().cpu().numpy()
        alive()
        out.labels[rows], out.seen[rows] = kept.labels[rows], 1
        bank = Bank(model, name, n)
        if world.rank == 0:
            bank.features[:], bank.grays[:] = kept.bank_features, kept.bank_grays
        return out, bank

    def news(self) -> Mapping[str, float]:
        """How many films' features were computed since this was last asked, if any."""
        news, self._news = self._news, {}
        return news

    def clear(self) -> None:
        """Delete the features in the run folder, of other weights too."""
        storage.delete([entry.uri for entry in storage.listing(self._folder)])

    def _digest(self) -> str:
        """Of all that the features depend on; a part of their files' names."""
        above = family_of(self._config.model.name).classifier + "."
        state = self._model.state_dict().items()
        below = {name: tensor for name, tensor in state if not name.startswith(above)}
        told = [
            self._dataset.manifest.fingerprint, self._dataset.fold, self._spec.model_dump(),
            self._config.model.model_dump(), self._config.train.precision, self._world.device.type,
        ]  # fmt: skip
        return hashlib.sha256(files.write(below, {"of": json.dumps(told)})).hexdigest()[:16]

    def _computed(self, split: str, alive: Callable[[], None]) -> Kept:
        """By all workers, each of them every world-th record batch."""
        model, dataset, world = self._model, self._dataset, self._world
        rows = dataset.split(split).rows
        bank = Bank(model, self._config.model.name, rows)
        features = np.zeros((rows, *self.shape), np.float32)
        passes: list[Tensor] = []

        def note(places: inference.Rows, inputs: npt.NDArray[Any]) -> None:
            """Of several passes their mean, since the logits are linear in it."""
            seen = torch.stack(passes).float().mean(dim=0)
            features[places] = seen.flatten(1).cpu().numpy()
            passes.clear()
            bank.note(places, inputs)

        listening = self.network.register_forward_pre_hook(lambda _, seen: passes.append(seen[0]))
        with bank.last.listening():
            own = inference.logits(
                model, dataset, split, self._seen[split], dataset.task.outputs,
                world.device, world.rank, world.size, alive, note,
            )  # fmt: skip
        listening.remove()
        assert (self._sum(own.seen) == 1).all(), "a film was seen twice, or not at all"
        parts = (features, own.labels, bank.features, bank.grays)
        return Kept(*(self._sum(part) for part in parts))

    def _sum(self, part: npt.NDArray[Any]) -> npt.NDArray[Any]:
        summed = self._world.sum(torch.from_numpy(part).to(self._world.device))
        return np.asarray(summed.cpu().numpy())

    def _read(self, place: str, split: str) -> Kept:
        """What an earlier start has computed; `UserError` where the file is damaged."""
        _, tensors = files.read(storage.fetch(place), place)
        rows, labels = self._dataset.split(split).rows, len(self._dataset.manifest.classes)
        bank = Bank(self._model, self._config.model.name, rows)
        empty = np.empty((rows, *self.shape), np.float32), np.empty((rows, labels), np.int8)
        wanted = vars(Kept(*empty, bank.features, bank.grays))
        found = {name: tensor.numpy() for name, tensor in tensors.items()}
        kinds = [{n: (v.dtype, v.shape) for n, v in each.items()} for each in (wanted, found)]
        if kinds[0] != kinds[1]:
            raise UserError(f"{place}: holds other features than this run's; delete it")
        return Kept(**found)


class _AsTheyAre:
    """The transform of features: none."""

    draws = 0

    def train(self, samples: Tensor, draws: Tensor) -> Tensor:  # noqa: ARG002
        """The same."""
        return samples

    def views(self, samples: Tensor) -> tuple[Tensor]:
        """The same."""
        return (samples,)

    def stressed(self) -> "list[Transform]":
        """None."""
        return []


class _AsInTraining:
    """A transform without draws that shows in evaluation, too, what training sees."""

    draws = 0

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def train(self, samples: Tensor, draws: Tensor) -> Tensor:
        """What training sees."""
        return self._transform.train(samples, draws)

    def views(self, samples: Tensor) -> tuple[Tensor]:
        """What training sees."""
        return (self._transform.train(samples, torch.empty(len(samples), 0)),)

    def stressed(self) -> "list[Transform]":
        """None."""
        return []

"""The model judged on the validation split, or on another, by all workers together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform
from rayograph.errors import Diverged
from rayograph.evaluate import inference
from rayograph.evaluate.inference import Logits
from rayograph.evaluate.unlike.bank import Unlike
from rayograph.task import STRESS, Labels, OperatingPoints, Rule, Task, abstain
from rayograph.task.abstain import Band
from rayograph.task.calibration import calibrated
from rayograph.train.feed import Feed
from rayograph.train.world import World


@dataclass(frozen=True)
class Validation:
    """Each metric of the network's own logits (NaN if undefined), and what the split suggests.

    That is a temperature, and the operating points of the probabilities that it gives. On rank 0
    also what tells samples that are unlike its own, None where it is too small, and the band.
    """

    metrics: Mapping[str, float]
    operating_points: OperatingPoints
    temperature: float = 1.0
    unlike: Unlike | None = None
    band: Band | None = None


def validate(
    model: nn.Module,
    task: Task,
    feed: Feed,
    world: World,
    alive: Callable[[], None],
    where: str,
    rule: Rule,
    stressed: Sequence[Callable[[], Mapping[str, float]]] = (),
) -> Validation:
    """Judge every validation sample once; `Diverged`, saying `where`, if the model returns NaN.

    `stressed` judge it under changes of the samples: there is the worst score of them.
    """
    own, bank = feed.judge(model, alive)
    values, labels = _together(own, world)
    features, grays = _summed(world, bank.features, bank.grays)
    found = _metrics(task, labels, values, where)
    if stressed:
        scores = [judge()[task.stressed] for judge in stressed]
        found[STRESS.name] = float(np.min(scores))  # NaN if one of them is
    temperature = task.temperature(labels, values)
    cooled = calibrated(values, temperature).astype(np.float64)
    points = task.operating_points(labels, cooled, rule)
    if world.rank:  # of a card only rank 0's counts
        return Validation(found, points, temperature)
    band = abstain.chosen(task.pointed, labels, task.probabilities(cooled), points)
    return Validation(found, points, temperature, Unlike.of(features, grays), band)


def watched(
    model: nn.Module,
    dataset: Dataset,
    split: str,
    transform: Transform,
    world: World,
    alive: Callable[[], None],
    where: str,
) -> Mapping[str, float]:
    """Each metric of another split, by the network's own logits; nothing is suggested by it.

    Every sample is judged once. `Diverged`, saying `where`, if the model returns NaN.
    """
    own = inference.logits(
        model, dataset, split, transform, dataset.task.outputs,
        world.device, world.rank, world.size, alive,
    )  # fmt: skip
    values, labels = _together(own, world)
    return _metrics(dataset.task, labels, values, where)


def _together(own: Logits, world: World) -> tuple[npt.NDArray[Any], Labels]:
    """Logits float32 [n, outputs] and labels [n, k] of a split, of each worker's part."""
    values, labels, seen = _summed(world, own.values, own.labels, own.seen)
    assert (seen == 1).all(), "a film was seen twice, or not at all"
    return values, labels


def _summed(world: World, *parts: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """The sum of each array over all workers."""
    for part in parts:
        yield world.sum(torch.from_numpy(part).to(world.device)).cpu().numpy()


def _metrics(
    task: Task, labels: Labels, logits: npt.NDArray[np.float32], where: str
) -> dict[str, float]:
    try:
        return task.quick(labels, logits.astype(np.float64))
    except ValueError as error:
        raise Diverged(f"{where}: {error}") from None

"""The model judged on the validation split, by all workers together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform
from rayograph.errors import Diverged
from rayograph.evaluate import inference
from rayograph.evaluate.unlike.bank import Bank, Unlike
from rayograph.task import STRESS, Labels, OperatingPoints, Rule, Task, abstain
from rayograph.task.abstain import Band
from rayograph.task.calibration import calibrated
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
    name: str,
    dataset: Dataset,
    transform: Transform,
    world: World,
    alive: Callable[[], None],
    where: str,
    rule: Rule,
    stressed: Sequence[Transform] = (),
) -> Validation:
    """Judge every validation sample once; `Diverged`, saying `where`, if the model returns NaN.

    `name` is the model's. With transforms of `stressed` samples there is the worst score of them.
    """
    bank = Bank(model, name, dataset.split("val").rows)
    with bank.views.listening():
        own = inference.logits(
            model, dataset, "val", transform, dataset.task.outputs,
            world.device, world.rank, world.size, alive, bank.note,
        )  # fmt: skip
    parts = (own.values, own.labels, own.seen, bank.features, bank.grays)
    values, labels, seen, features, grays = (
        world.sum(torch.from_numpy(part).to(world.device)).cpu().numpy() for part in parts
    )
    assert (seen == 1).all(), "a validation film was seen twice, or not at all"
    found = _metrics(dataset.task, labels, values, where)
    if stressed:
        scores = []
        for each in stressed:
            part = inference.logits(
                model, dataset, "val", each, dataset.task.outputs,
                world.device, world.rank, world.size, alive,
            ).values  # fmt: skip
            whole = world.sum(torch.from_numpy(part).to(world.device)).cpu().numpy()
            scores.append(_metrics(dataset.task, labels, whole, where)[dataset.task.stressed])
        found[STRESS.name] = float(np.min(scores))  # NaN if one of them is
    temperature = dataset.task.temperature(labels, values)
    cooled = calibrated(values, temperature).astype(np.float64)
    points = dataset.task.operating_points(labels, cooled, rule)
    if world.rank:  # of a card only rank 0's counts
        return Validation(found, points, temperature)
    band = abstain.chosen(dataset.task.pointed, labels, dataset.task.probabilities(cooled), points)
    return Validation(found, points, temperature, Unlike.of(features, grays), band)


def _metrics(
    task: Task, labels: Labels, logits: npt.NDArray[np.float32], where: str
) -> dict[str, float]:
    try:
        return task.quick(labels, logits.astype(np.float64))
    except ValueError as error:
        raise Diverged(f"{where}: {error}") from None

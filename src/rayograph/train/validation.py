"""The model judged on the validation split, by all workers together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rayograph.errors import Diverged
from rayograph.evaluate.unlike.bank import Unlike
from rayograph.task import OperatingPoints, Rule, Task, abstain
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
) -> Validation:
    """Judge every validation sample once; `Diverged`, saying `where`, if the model returns NaN."""
    own, bank = feed.judge(model, alive)
    parts = (own.values, own.labels, own.seen, bank.features, bank.grays)
    values, labels, seen, features, grays = (
        world.sum(torch.from_numpy(part).to(world.device)).cpu().numpy() for part in parts
    )
    assert (seen == 1).all(), "a validation film was seen twice, or not at all"
    try:
        found = task.quick(labels, values.astype(np.float64))
    except ValueError as error:
        raise Diverged(f"{where}: {error}") from None
    temperature = task.temperature(labels, values)
    cooled = calibrated(values, temperature).astype(np.float64)
    points = task.operating_points(labels, cooled, rule)
    if world.rank:  # of a card only rank 0's counts
        return Validation(found, points, temperature)
    band = abstain.chosen(task.pointed, labels, task.probabilities(cooled), points)
    return Validation(found, points, temperature, Unlike.of(features, grays), band)

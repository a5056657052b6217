"""The model judged on the validation split, by all workers together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rayograph.data.dataset import Dataset
from rayograph.data.transforms import Transform
from rayograph.errors import Diverged
from rayograph.evaluate import inference
from rayograph.task import OperatingPoints, Rule
from rayograph.task.calibration import calibrated
from rayograph.train.world import World


@dataclass(frozen=True)
class Validation:
    """Each metric of the network's own logits (NaN if undefined), and what the split suggests.

    That is a temperature, and the operating points of the probabilities that it gives.
    """

    metrics: Mapping[str, float]
    operating_points: OperatingPoints
    temperature: float = 1.0


def validate(
    model: nn.Module,
    dataset: Dataset,
    transform: Transform,
    world: World,
    alive: Callable[[], None],
    where: str,
    rule: Rule,
) -> Validation:
    """Judge every validation sample once; `Diverged`, saying `where`, if the model returns NaN."""
    own = inference.logits(
        model, dataset, "val", transform, dataset.task.outputs,
        world.device, world.rank, world.size, alive,
    )  # fmt: skip
    parts = (own.values, own.labels, own.seen)
    values, labels, seen = (
        world.sum(torch.from_numpy(part).to(world.device)).cpu().numpy() for part in parts
    )
    assert (seen == 1).all(), "a validation film was seen twice, or not at all"
    try:
        found = dataset.task.quick(labels, values.astype(np.float64))
    except ValueError as error:
        raise Diverged(f"{where}: {error}") from None
    temperature = dataset.task.temperature(labels, values)
    cooled = calibrated(values, temperature).astype(np.float64)
    return Validation(found, dataset.task.operating_points(labels, cooled, rule), temperature)

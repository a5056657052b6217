"""Whether maps depend on what was learned: they must change when the weights are randomised.

Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018: the layers are drawn anew from the
last one on, and the maps before and after are compared by the rank correlation of their pixels.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rayograph.evaluate.explain.maps import Layer, LogOdds, Map, maps

DRAWS, SEED = 3, 0
ALIKE = 0.5  # a mean rank correlation from here on is a doubt
STAGES = (("the last layer", 0.0), ("the last half of the layers", 0.5), ("all layers", 1.0))


@dataclass(frozen=True)
class Alike:
    """How like the maps of a randomised model are to the trained one's.

    `spearman` is the mean over films and draws, `low` and `high` the means of the draws that are
    least and most like; None where no pair of maps can be compared. Of `pairs`, in `empty` the
    trained model's map was the same everywhere, and there is nothing to compare.
    """

    stage: str
    spearman: float | None
    low: float | None
    high: float | None
    pairs: int
    empty: int

    @property
    def depends(self) -> bool | None:
        """Whether the maps depend on the weights; None where it cannot be told."""
        return None if self.spearman is None else self.spearman < ALIKE


def check(network: LogOdds, layer: Layer, inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
    """The check on films [n, 1, S, S] and the output each [n], as JSON, by the kind of map."""
    trained = maps(network, layer, inputs, outputs)
    found: dict[str, list[Alike]] = {name: [] for name in trained}
    for stage, share in STAGES:
        drawn = [
            maps(randomised(network, inputs, share, SEED + draw), layer, inputs, outputs)
            for draw in range(DRAWS)
        ]
        for name, before in trained.items():
            found[name].append(_alike(stage, before, [after[name] for after in drawn]))
    return {
        "films": len(inputs),
        "draws": DRAWS,
        "seed": SEED,
        "threshold": ALIKE,
        "methods": {name: _told(stages) for name, stages in found.items()},
    }


def _told(stages: list[Alike]) -> Mapping[str, Any]:
    return {"depends": stages[-1].depends, "stages": [asdict(each) for each in stages]}


def randomised(network: LogOdds, inputs: Tensor, share: float, seed: int) -> LogOdds:
    """A copy whose last layers, this share of them and at least one, are drawn anew.

    Each by its own way of being initialised; parameters that lie in no such layer from a normal
    distribution of their own mean and deviation. The statistics of its batch norms are measured
    again on `inputs`: those of the trained weights would make the random ones explode.
    """
    other = copy.deepcopy(network)
    layers = [each for each in other.modules() if [*each.parameters(recurse=False)]]
    first = min(len(layers) - 1, round(len(layers) * (1 - share)))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for each in layers[first:]:
            _draw(each)
        _measure(other, inputs)
    return other.eval()


def _draw(layer: nn.Module) -> None:
    if callable(reset := getattr(layer, "reset_parameters", None)):
        reset()
        return
    for parameter in layer.parameters(recurse=False):
        deviation = parameter.std(correction=0)
        parameter.copy_(parameter.mean() + deviation * torch.randn_like(parameter))


def _measure(network: nn.Module, inputs: Tensor) -> None:
    """Give each batch norm the statistics of what reaches it of these films, the first one first.

    It stays in evaluation mode: in training mode the norm that workers share wants a GPU.
    """

    def note(norm: nn.Module, reached: tuple[Tensor]) -> None:
        assert isinstance(norm, _BatchNorm)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        variance, mean = torch.var_mean(reached[0], dim=(0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [each for each in network.modules() if isinstance(each, _BatchNorm)]
    handles = [each.register_forward_pre_hook(note) for each in norms]
    if norms:
        network(inputs)
    for handle in handles:
        handle.remove()


def _alike(stage: str, before: Map, after: Iterable[Map]) -> Alike:
    """The trained model's maps [n, S, S] beside those of each draw."""
    values = np.array([[spearman(a, b) for a, b in zip(before, each, strict=True)]
                       for each in after])  # fmt: skip
    empty = int(np.isnan(values).sum())
    if empty == values.size:
        return Alike(stage, None, None, None, values.size, empty)
    defined = values[~np.isnan(values).all(axis=1)]
    draws = np.nanmean(defined, axis=1)
    mean = float(np.nanmean(values))
    return Alike(stage, mean, float(draws.min()), float(draws.max()), values.size, empty)


def spearman(one: Map, other: Map) -> float:
    """The rank correlation of a trained model's map with another one's pixels.

    NaN where the trained model's is the same everywhere; 0 where only the other one is: it has
    nothing of the first any more.
    """
    if one.max() <= one.min():
        return float("nan")
    if other.max() <= other.min():
        return 0.0
    return float(spearmanr(one.ravel(), other.ravel()).statistic)

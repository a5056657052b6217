"""What `train.precision=auto` comes to: a rule, so that the same run is the same run again.

A choice by a stopwatch would be another one now and then, and a run repeated from its command no
longer the same to the bit. `benchmarks.precision` is what the rule was made from.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.models.build import build
from rayograph.runs.folder import RunFolder
from rayograph.train.world import World

Precision = Literal["float32", "bf16"]
LEAST = 2_000_000  # multiply-adds of an input; with fewer, calls cost more than arithmetic
USES = 200  # of a weight in a step; with fewer, rounding the weights costs more than it gains
log = logging.getLogger("rayograph.train")


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one input's forward pass: of all layers, and in depthwise convolutions.

    `weights` is the number of those that take part.
    """

    multiply_adds: int
    depthwise: int
    weights: int

    @classmethod
    def of(cls, model: nn.Module, shape: tuple[int, ...]) -> "Work":
        """That of a model on the meta device; nothing is computed."""
        total = depthwise = 0

        def count(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
            nonlocal total, depthwise
            weight = layer.weight
            assert isinstance(weight, Tensor)
            own = output.numel() * weight[0].numel()  # a value takes a row of weights
            total += own
            if isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels:
                depthwise += own

        layers = [each for each in model.modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        with torch.inference_mode():
            model.eval()(torch.empty(1, *shape, device="meta"))
        for hook in hooks:
            hook.remove()
        weights = sum(layer.weight.numel() for layer in layers)
        return cls(total, depthwise, weights)

    def gains(self, share: int) -> bool:
        """Whether a step over so many inputs is faster in bfloat16 than in float32, with AMX.

        Depthwise convolutions are slower in it: a hundredth of the work makes EfficientNetV2 lose.
        """
        enough = self.multiply_adds >= LEAST
        return enough and not self.depthwise and share * self.multiply_adds >= USES * self.weights


def settled(
    config: RunConfig, folder: RunFolder, dataset: Dataset, world: World, begun: bool
) -> RunConfig:
    """The config with `auto` replaced by what all workers take, written into the run folder.

    A run that has begun keeps what it was begun with, wherever it goes on.
    """
    if config.train.precision != "auto":
        return config
    mine = torch.tensor(int(capable(world.device)), device=world.device)
    able = int(world.sum(mine)) == world.size

    def choose() -> Precision:
        before = folder.config().train.precision if begun else "auto"
        if before == "auto":
            found, why = _chosen(config, dataset, world.device, able, begun)
        else:
            found, why = before, {"because": "the run was begun in it"}
        if found == "bf16" and not able:
            log.warning("train.precision=bf16: the run was begun in it; slow on these workers")
        log.info("train.precision=auto: %s: %s", found, why["because"])
        folder.settle(found, why)
        return found

    return config.in_precision(world.agree(choose))


def capable(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices faster than float32 ones.

    Of CPUs only those with AMX: AVX512-BF16 alone gained nothing, and others lose
    (docs/performance.md); Arm's were not measured.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def _chosen(
    config: RunConfig, dataset: Dataset, device: torch.device, able: bool, begun: bool
) -> tuple[Precision, dict[str, Any]]:
    """What to take, and for people and reports why."""
    if not able:
        return "float32", {"because": "not all workers have AMX or a GPU with bfloat16"}
    if device.type == "cuda":
        return "bf16", {"because": "a GPU with bfloat16"}
    if begun:  # by a version that knew no bfloat16 on CPUs
        return "float32", {"because": "the run was begun in it"}
    if config.model.norm == "group":  # which itself gains nothing, and is for equal losses
        return "float32", {"because": "model.norm=group: losses are those of any number of workers"}
    options = config.model.model_copy(update={"weights": None})
    shape = dataset.transform(config.data).shape
    with torch.device("meta"):
        work = Work.of(build(options, shape, dataset.task.outputs), shape)
    train = config.train
    share = min(train.micro_batch or train.batch_size, train.batch_size // config.cluster.most)
    size = f"{work.multiply_adds / 1e6:,.1f} million multiply-adds a film"
    told = f"{size}, {work.depthwise / 1e6:,.1f} of them in depthwise convolutions"
    told = f"{told}; {share * work.multiply_adds / work.weights:,.0f} uses of a weight in a step"
    return ("bf16" if work.gains(share) else "float32"), {"because": told, **asdict(work)}

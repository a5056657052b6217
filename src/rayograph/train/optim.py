"""The optimizer and the schedule of its learning rate."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rayograph.config import OptimOptions


def factor(step: int, steps_per_epoch: int, epochs: int, options: OptimOptions) -> float:
    """The learning rate of optimizer step `step` (0 is the first), as a part of `optim.lr`.

    Linear from near zero over the warm-up; then constant, or half a cosine down to zero at the end.
    """
    warmup = round(options.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return 1.0
    total = max(steps_per_epoch * epochs - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / total, 1.0)))


def build(
    model: nn.Module, options: OptimOptions, steps_per_epoch: int, epochs: int
) -> tuple[Optimizer, LambdaLR]:
    """The optimizer of a model's trainable parameters, and its schedule, one call a step.

    Weight decay spares biases and norms (all parameters of one dimension), as is usual.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    kind = AdamW if options.name == "adamw" else Adam
    optimizer: Optimizer = kind(groups, lr=options.lr)
    schedule = LambdaLR(optimizer, lambda step: factor(step, steps_per_epoch, epochs, options))
    return optimizer, schedule


def load(optimizer: Optimizer, schedule: LambdaLR, states: Mapping[str, Any], step: int) -> None:
    """Take an optimizer's moments from a checkpoint, and the schedule to optimizer step `step`.

    Learning rate and weight decay stay as they were built, so that a run may start from the
    checkpoint of another one that had others. Raises `ValueError` where the moments are not those
    of the optimizer's parameters.
    """
    mine, theirs = optimizer.state_dict()["param_groups"], states["param_groups"]
    if [group["params"] for group in mine] != [group["params"] for group in theirs]:
        raise ValueError("its groups of parameters are others")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, moments in states["state"].items():
        if not isinstance(number, int) or not 0 <= number < len(parameters):
            raise ValueError(f"it has no parameter {number!r:.20}")
        _check(moments, parameters[number])
    optimizer.load_state_dict({"state": states["state"], "param_groups": mine})
    rates = [b * part(step) for b, part in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    position = {"last_epoch": step, "_step_count": step + 1, "_last_lr": rates}
    schedule.load_state_dict(schedule.state_dict() | position)


def _check(moments: Mapping[str, Any], parameter: Tensor) -> None:
    """Raise `ValueError` unless these are Adam's moments of such a parameter."""
    one = torch.Size([])
    wanted = {"step": one, "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
    if not isinstance(moments, Mapping) or set(moments) != set(wanted):
        raise ValueError("it is not of Adam or AdamW")
    for name, shape in wanted.items():
        value = moments[name]
        plain = isinstance(value, Tensor) and value.layout == torch.strided
        if not (plain and value.shape == shape and value.is_floating_point()):
            raise ValueError(f"a parameter of {list(parameter.shape)} has another {name}")


def clip(model: nn.Module, options: OptimOptions) -> None:
    """Shorten the gradient to `optim.clip_norm` where it is longer."""
    if options.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)

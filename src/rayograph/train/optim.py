"""The optimizer and the schedule of its learning rate."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rayograph.config import OptimOptions, RunConfig
from rayograph.models.build import head

MOMENTS = {Adam: ("exp_avg", "exp_avg_sq"), SGD: ("momentum_buffer",)}  # as large as a parameter
COUNT = "step"  # that Adam keeps beside them


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


def build(model: nn.Module, config: RunConfig, steps_per_epoch: int) -> tuple[Optimizer, LambdaLR]:
    """The optimizer of a model's trainable parameters, and its schedule, one call a step.

    Weight decay spares biases and norms (all parameters of one dimension), as is usual. A backbone
    that joins later has a learning rate of zero until then: its gradients are summed over the
    workers all the same, which DDP wants, and its batch norms take in the films' statistics.
    """
    options, joins = config.optim, config.train.head_epochs * steps_per_epoch
    trainable = [p for p in model.parameters() if p.requires_grad]
    last = {id(p) for p in head(model, config.model.name).parameters()}
    parts = [(trainable, 1.0, 0)]
    if joins or options.backbone_lr != 1:
        parts = [([p for p in trainable if id(p) in last], 1.0, 0)]
        parts += [([p for p in trainable if id(p) not in last], options.backbone_lr, joins)]
    groups: list[dict[str, Any]] = []
    rates = []
    for parameters, share, start in parts:
        for decay, those in (
            (options.weight_decay, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if those:
                groups.append({"params": those, "weight_decay": decay, "lr": options.lr * share})
                rates.append(_rate(config, steps_per_epoch, start))
    optimizer = _named(options, groups)
    return optimizer, LambdaLR(optimizer, rates)


def _rate(config: RunConfig, steps_per_epoch: int, start: int) -> Callable[[int], float]:
    """The factor of a group's learning rate at a step: zero before step `start`."""

    def at(step: int) -> float:
        epochs = config.train.epochs
        return factor(step, steps_per_epoch, epochs, config.optim) if step >= start else 0.0

    return at


def _named(options: OptimOptions, groups: list[dict[str, Any]]) -> Optimizer:
    """The optimizer by its name, fused: on a CPU a step of AdamW takes a fifth of the time."""
    if options.name == "sgd":
        momentum = options.momentum
        return SGD(groups, lr=options.lr, momentum=momentum, nesterov=momentum > 0, fused=True)
    return (AdamW if options.name == "adamw" else Adam)(groups, lr=options.lr, fused=True)


def moments(options: OptimOptions) -> int:
    """How many tensors of a parameter's size an optimizer keeps of each."""
    if options.name == "sgd":
        return int(options.momentum > 0)
    return len(MOMENTS[Adam])


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
    for number, found in states["state"].items():
        if not isinstance(number, int) or not 0 <= number < len(parameters):
            raise ValueError(f"it has no parameter {number!r:.20}")
        _check(found, parameters[number], type(optimizer))
    optimizer.load_state_dict({"state": states["state"], "param_groups": mine})
    rates = [b * part(step) for b, part in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    position = {"last_epoch": step, "_step_count": step + 1, "_last_lr": rates}
    schedule.load_state_dict(schedule.state_dict() | position)


def _check(found: Mapping[str, Any], parameter: Tensor, kind: type[Optimizer]) -> None:
    """Raise `ValueError` unless these are such an optimizer's moments of such a parameter."""
    base = SGD if issubclass(kind, SGD) else Adam  # of which AdamW is one
    wanted = dict.fromkeys(MOMENTS[base], parameter.shape)
    if base is Adam:
        wanted[COUNT] = torch.Size([])
    if not isinstance(found, Mapping) or set(found) != set(wanted):
        raise ValueError(f"it is not of {base.__name__}")
    for name, shape in wanted.items():
        value = found[name]
        plain = isinstance(value, Tensor) and value.layout == torch.strided
        if not (plain and value.shape == shape and value.is_floating_point()):
            raise ValueError(f"a parameter of {list(parameter.shape)} has another {name}")


def clip(model: nn.Module, options: OptimOptions) -> None:
    """Shorten the gradient to `optim.clip_norm` where it is longer."""
    if options.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)

"""Models by name: built anew, from other weights, or from a file of our own."""

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rayograph.config import TIMM, ModelOptions
from rayograph.errors import UserError
from rayograph.models import cnn, fetching, from_timm
from rayograph.models.registry import Family, families
from rayograph.models.weights import fitted

Shape = tuple[int, ...]  # of one input: (1, S, S)


def check(options: ModelOptions, shape: Shape) -> None:
    """Raise `UserError` for an unknown name, absent weights, or films too small for the CNN."""
    if family_of(options.name).rank != len(shape):
        fitting = [name for name, family in families().items() if family.rank == len(shape)]
        raise UserError(
            f"model.name={options.name}: not for a sample of shape {list(shape)}; use "
            f"{', '.join(fitting[:3])}{', …' if len(fitting) > 3 else ''}"
        )
    if options.name == "cnn" and cnn.side_after(options, shape[-1]) < 1:
        raise UserError(
            f"model.depth={options.depth}: nothing is left of {shape[-1]} pixels after that many "
            "blocks; use fewer, or a larger data.image_size"
        )
    fetching.check(options)


def build(options: ModelOptions, shape: Shape, outputs: int) -> nn.Module:
    """A model from inputs of a shape to logits: float [n, *shape] to float [n, outputs].

    Weights come from `options.weights`; the rest is drawn from torch's generator.
    """
    family = family_of(options.name)
    model = family.make(options, shape, outputs, family)
    if options.norm == "sync":
        model = _synchronised(model, options.name)
    if options.weights:
        model.load_state_dict(fitted(model, options, family).tensors, strict=False)
    if options.freeze_backbone:
        model.requires_grad_(False)
        head(model, options.name).requires_grad_(True)
    return model


def family_of(name: str) -> Family:
    """The family of a model's name; `UserError` that names the nearest for an unknown one."""
    if name.startswith(TIMM):
        return from_timm.family(name)
    known = families()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UserError(f"model.name={name}: no such model; {hint}")
    return known[name]


def _synchronised(model: nn.Module, name: str) -> nn.Module:
    if not name.startswith(TIMM):
        own: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return own
    return from_timm.synchronised(model)


def check_weights(options: ModelOptions, shape: Shape, outputs: int) -> str | None:
    """What of `options.weights` is not taken, in a line; `UserError` where they do not fit."""
    if not options.weights:
        return None
    family = family_of(options.name)
    with torch.device("meta"):
        model = family.make(options, shape, outputs, family)
    return fitted(model, options, family).told


def restored(
    options: ModelOptions, shape: Shape, outputs: int, tensors: Mapping[str, Tensor], place: str
) -> nn.Module:
    """The model that `options` describe, with exactly these tensors, which are not copied.

    Nothing is taken from elsewhere, and no memory for a model that the tensors do not fill: both
    come from the file at `place`. Raises `UserError`, naming it, where they do not fit each other.
    """
    options = options.model_copy(update={"weights": None})
    try:
        check(options, shape)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    with torch.device("meta"):
        model = build(options, shape, outputs)
    wanted = model.state_dict()
    for name in sorted({*wanted, *tensors}):
        mine, theirs = (_kind(each.get(name)) for each in (wanted, tensors))
        if mine != theirs:
            raise UserError(f"{place}: {name[:80]} is {theirs}, {options.name} needs {mine}")
    model.load_state_dict(dict(tensors), assign=True)
    return model


def head(model: nn.Module, name: str) -> nn.Module:
    """The last layer of a model of that name."""
    return model.get_submodule(family_of(name).classifier)


def _kind(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"

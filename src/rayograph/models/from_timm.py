"""Backbones of timm by name, `timm/convnext_nano`: one gray channel, its own head."""

import difflib
import importlib
from functools import cache
from typing import Any

from torch import nn

from rayograph.config import TIMM, ModelOptions
from rayograph.errors import UserError
from rayograph.models.layers import Head, group_norm
from rayograph.models.registry import Family

HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # one of which its weights on the hub are


@cache
def family(name: str) -> Family:
    """Where the layers of `timm/NAME` are, as timm says; `UserError` for what cannot be used."""
    timm = _timm(name)
    own = name.removeprefix(TIMM)
    known = timm.list_models()
    if own not in known:
        near = difflib.get_close_matches(own, known, n=1)
        hint = f"did you mean {TIMM}{near[0]}?" if near else "see timm.list_models()"
        raise UserError(f"model.name={name}: timm has no such model; {hint}")
    found = timm.get_pretrained_cfg(own)
    usable = found is not None and isinstance(found.first_conv, str)
    if not usable or not isinstance(found.classifier, str) or found.fixed_input_size:
        raise UserError(
            f"model.name={name}: not a convolutional network for films of any size with one head; "
            f"use one such as {TIMM}convnext_nano or {TIMM}efficientnet_lite0"
        )
    return Family(own, found.first_conv, found.classifier, _cam_layer(own), _make)


def tags(name: str) -> list[str]:
    """The names of the weights that timm can fetch for a model."""
    own = name.removeprefix(TIMM)
    return [each.partition(".")[2] for each in _timm(name).list_pretrained(f"{own}.*")]


def pretrained(name: str, tag: str) -> nn.Module:
    """A model with weights that timm fetches; `OSError` where it cannot."""
    model: nn.Module = _timm(name).create_model(f"{name.removeprefix(TIMM)}.{tag}", True)
    return model


def place(name: str, tag: str) -> tuple[str, bool | None]:
    """A URL that answers where timm can fetch weights, and whether the hub's cache has them.

    Without a hub it is the file's own URL, and None.
    """
    import huggingface_hub as hub

    found = _timm(name).get_pretrained_cfg(f"{name.removeprefix(TIMM)}.{tag}")
    if not found.hf_hub_id:
        return str(found.url), None
    names = (found.hf_hub_filename,) if found.hf_hub_filename else HUB_FILES
    here = any(isinstance(hub.try_to_load_from_cache(found.hf_hub_id, file), str) for file in names)
    return hub.hf_hub_url(found.hf_hub_id, "config.json"), here


def synchronised(model: nn.Module) -> nn.Module:
    """The model with norms of the global batch, which may have an activation in them."""
    layers: Any = importlib.import_module("timm.layers")
    found: nn.Module = layers.convert_sync_batchnorm(model)
    return found


def _timm(name: str) -> Any:
    try:
        import timm  # a second, which only its models wait for
    except ImportError:
        raise UserError(
            f"model.name={name}: timm is not installed: pip install 'rayograph[timm]'"
        ) from None
    return timm


@cache
def _cam_layer(own: str) -> str | None:
    """The last layer whose feature maps timm names."""
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(own, in_chans=1)
    named = getattr(model, "feature_info", None)
    return str(named[-1]["module"]) if named else None


def _make(options: ModelOptions, shape: tuple[int, ...], outputs: int, family: Family) -> nn.Module:
    model: nn.Module = _timm(options.name).create_model(
        family.pattern, in_chans=shape[0], num_classes=outputs
    )
    last = model.get_submodule(family.classifier)
    if not isinstance(last, nn.Linear):
        raise UserError(f"model.name={options.name}: its last layer is not linear; use another one")
    # A head of ours: its dropout is on where timm's is off, above a backbone that is frozen, and
    # its first weights are small. Those that timm gives an EfficientNet reach 0.7 for two classes:
    # the first loss is 4, not 0.7, and what the weights from elsewhere know is soon lost.
    model.set_submodule(family.classifier, Head(last.in_features, outputs, options.dropout))
    if options.norm == "group":
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                model.set_submodule(name, _grouped(module))
    return model


def _grouped(norm: nn.BatchNorm2d) -> nn.Module:
    """A norm of one film in place of a batch's; timm's norms may have an activation in them."""
    layers = [group_norm(norm.num_features)]
    layers += [own for part in ("drop", "act") if (own := getattr(norm, part, None)) is not None]
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]

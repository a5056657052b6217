"""The families of models: where the outer layers of each are, and how it is made."""

import fnmatch
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torchvision import models as zoo

from rayograph.config import ModelOptions
from rayograph.models.cnn import PaperCNN
from rayograph.models.layers import Head, group_norm
from rayograph.models.mlp import MLP


@dataclass(frozen=True)
class Family:
    """Models whose names match a pattern; layers are given by their dotted names.

    `first_conv` reads the film, `classifier` is the last linear layer, `cam_layer` gives the
    feature maps [n, c, h, w] that a class activation map weighs; of models that see no films both
    are None. `rank` is the number of dimensions of an input. `make` is given the options, the shape
    of an input, the number of outputs, and this row.
    """

    pattern: str
    first_conv: str | None
    classifier: str
    cam_layer: str | None
    make: Callable[[ModelOptions, tuple[int, ...], int, "Family"], nn.Module]
    rank: int = 3


def _cnn(options: ModelOptions, shape: tuple[int, ...], outputs: int, _family: Family) -> nn.Module:
    return PaperCNN(options, shape[0], outputs)


def _mlp(options: ModelOptions, shape: tuple[int, ...], outputs: int, _family: Family) -> nn.Module:
    return MLP(options, shape[0], outputs)


def _torchvision(
    options: ModelOptions, shape: tuple[int, ...], outputs: int, family: Family
) -> nn.Module:
    """A model of torchvision's that reads gray channels and has a head of our own."""
    model: nn.Module = zoo.get_model(options.name, weights=None)
    assert family.first_conv is not None
    _read_gray(model, family.first_conv, shape[0])
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # `model.dropout` is the only one
    last = model.get_submodule(family.classifier)
    assert isinstance(last, nn.Linear)
    model.set_submodule(family.classifier, Head(last.in_features, outputs, options.dropout))
    if options.norm == "group":
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                model.set_submodule(name, group_norm(module.num_features))
    return model


def _read_gray(model: nn.Module, name: str, channels: int) -> None:
    """Make the first convolution read gray channels; their weights are the sum over three."""
    first = model.get_submodule(name)
    assert isinstance(first, nn.Conv2d)
    gray = nn.Conv2d(
        channels, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )  # fmt: skip
    with torch.no_grad():
        gray.weight.copy_(first.weight.sum(dim=1, keepdim=True) / math.sqrt(3))  # the same variance
    model.set_submodule(name, gray)


FAMILIES = (
    Family("cnn", "features.0", "classifier.2", "features", _cnn),
    Family("mlp", None, "classifier", None, _mlp, rank=1),
    Family("resnet*", "conv1", "fc", "layer4", _torchvision),
    Family("densenet*", "features.conv0", "classifier", "features", _torchvision),
    Family("efficientnet*", "features.0.0", "classifier.1", "features", _torchvision),
    Family("convnext*", "features.0.0", "classifier.2", "features", _torchvision),
)


@cache
def families() -> dict[str, Family]:
    """The family of every model that can be named."""
    known = ["cnn", "mlp", *zoo.list_models(module=zoo)]
    return {
        name: family
        for name in known
        for family in FAMILIES
        if fnmatch.fnmatch(name, family.pattern)
    }

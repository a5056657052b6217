"""Models by name: the paper's CNN, and torchvision's families made to read one gray channel."""

import difflib
import fnmatch
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models as zoo

from rayograph import storage
from rayograph.config import ModelOptions, is_place
from rayograph.errors import UserError
from rayograph.models.weights import check_name, load_weights

FAMILIES = ("resnet*", "densenet*", "efficientnet*", "convnext*")
HIDDEN = 128  # units of the paper's CNN before its last layer


def names() -> list[str]:
    """Every model that can be named."""
    known = zoo.list_models(module=zoo)
    return ["cnn", *(n for n in known if any(fnmatch.fnmatch(n, f) for f in FAMILIES))]


def check(options: ModelOptions, image_size: int) -> None:
    """Raise `UserError` for an unknown name, absent weights, or films too small for the CNN."""
    if options.name not in names():
        near = difflib.get_close_matches(options.name, names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names())}"
        raise UserError(f"model.name={options.name}: no such model{hint}")
    if options.name == "cnn" and _cnn_side(options, image_size) < 1:
        raise UserError(
            f"model.depth={options.depth}: nothing is left of {image_size} pixels after that many "
            "blocks; use fewer, or a larger data.image_size"
        )
    if options.weights and is_place(options.weights):
        if not storage.exists(options.weights):
            raise UserError(f"model.weights={options.weights}: nothing there; check the path")
    elif options.weights:
        check_name(options.name, options.weights)


def build(options: ModelOptions, classes: int) -> nn.Module:
    """A model from gray films to logits: float [n, 1, S, S] to float [n, classes].

    Weights come from `options.weights`; the rest is drawn from torch's generator.
    """
    if options.name == "cnn":
        model: nn.Module = PaperCNN(options, classes)
    else:
        model = zoo.get_model(options.name, weights=None)
        _read_gray(model)
        _replace_head(model, classes, options.dropout)
        if options.norm == "group":
            _group_norm(model)
    if options.norm == "sync":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if options.weights:
        load_weights(model, options.name, options.weights)
    if options.freeze_backbone:
        for parameter in model.parameters():
            parameter.requires_grad = False
        for parameter in head(model).parameters():
            parameter.requires_grad = True
    return model


def restored(
    options: ModelOptions, classes: int, image_size: int, tensors: Mapping[str, Tensor], place: str
) -> nn.Module:
    """The model that `options` describe, with exactly these tensors, which are not copied.

    Nothing is taken from elsewhere, and no memory for a model that the tensors do not fill: both
    come from the file at `place`. Raises `UserError`, naming it, where they do not fit each other.
    """
    options = options.model_copy(update={"weights": None})
    try:
        check(options, image_size)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    with torch.device("meta"):
        model = build(options, classes)
    wanted = model.state_dict()
    for name in sorted({*wanted, *tensors}):
        mine, theirs = (_kind(each.get(name)) for each in (wanted, tensors))
        if mine != theirs:
            raise UserError(f"{place}: {name[:80]} is {theirs}, {options.name} needs {mine}")
    model.load_state_dict(dict(tensors), assign=True)
    return model


def _kind(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"


def head(model: nn.Module) -> nn.Linear:
    """The last linear layer, which tells the classes apart."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]


class Head(nn.Linear):
    """The last layer, with dropout of its own: its weights have the same names either way."""

    def __init__(self, inputs: int, classes: int, dropout: float) -> None:
        super().__init__(inputs, classes)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Logits of features: float [n, inputs] to float [n, classes]."""
        return super().forward(F.dropout(features, self.dropout, self.training))


class PaperCNN(nn.Module):
    """Blocks of convolution, norm, ReLU and pooling, then two linear layers.

    The network of the paper that rayograph grew out of, which told COVID-19 films from normal ones;
    its author tried padding 1 and 2. Width doubles from block to block.
    """

    def __init__(self, options: ModelOptions, classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = 1
        for block in range(options.depth):
            width = options.width * 2**block
            norm = _groups(width) if options.norm == "group" else nn.BatchNorm2d(width)
            convolution = nn.Conv2d(inputs, width, 3, padding=options.padding, bias=False)
            blocks += [convolution, norm, nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            inputs = width
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.classifier = nn.Sequential(
            nn.Linear(16 * inputs, HIDDEN), nn.ReLU(inplace=True),
            Head(HIDDEN, classes, options.dropout),
        )  # fmt: skip

    def forward(self, films: Tensor) -> Tensor:
        """Logits of films: float [n, 1, S, S] to float [n, classes]."""
        logits: Tensor = self.classifier(self.features(films))
        return logits


def _cnn_side(options: ModelOptions, side: int) -> int:
    for _ in range(options.depth):
        side = (side - 2 + 2 * options.padding) // 2
    return side


def _read_gray(model: nn.Module) -> None:
    """Make the first convolution read one channel; its weights are drawn anew."""
    name, first = next(
        (n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3
    )
    gray = nn.Conv2d(
        1, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )  # fmt: skip
    with torch.no_grad():
        gray.weight.copy_(first.weight.sum(dim=1, keepdim=True) / math.sqrt(3))  # the same variance
    model.set_submodule(name, gray)


def _replace_head(model: nn.Module, classes: int, dropout: float) -> None:
    name, last = next(
        (n, m) for n, m in reversed(list(model.named_modules())) if isinstance(m, nn.Linear)
    )
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # `model.dropout` is the only one
    model.set_submodule(name, Head(last.in_features, classes, dropout))


def _group_norm(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            model.set_submodule(name, _groups(module.num_features))


def _groups(channels: int) -> nn.GroupNorm:
    groups = math.gcd(32, channels)
    if groups == channels:  # a group of one channel would forget that channel's strength
        groups = max(1, channels // 2)
    return nn.GroupNorm(groups, channels)

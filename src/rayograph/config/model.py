"""What can be chosen about a model."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rayograph import storage
from rayograph.config.base import Options

TIMM = "timm/"  # begins the name of a model of timm's


def is_place(weights: str) -> bool:
    """Whether `model.weights` is a path or URI; torchvision's own names have no dot or slash."""
    return "/" in weights or "." in weights


def _weights(name: str) -> str:
    return storage.absolute(name) if is_place(name) else name


class ModelOptions(Options):
    """Which classifier is built, and what it starts from."""

    name: str = "resnet18"
    """cnn, or a resnet, densenet, efficientnet or convnext by torchvision's name; timm/NAME for
    timm's convolutional ones, such as timm/convnext_nano; mlp for records [name]"""

    weights: Annotated[str, AfterValidator(_weights)] | None = None
    """weights to start from: torchvision's name such as IMAGENET1K_V2, timm's such as in12k, or the
    URI of a .safetensors or .pth file; null: random [name or URI]"""

    freeze_backbone: bool = False
    """train the last layer only; where augment.* changes nothing, each film's features are computed
    once, before the first epoch [true or false]"""

    norm: Literal["batch", "sync", "group", "auto"] = "batch"
    """batch: statistics of a worker's share; sync: of the global batch (GPUs only); group: of one
    film, the same for any number of workers; auto: sync on several GPUs, else batch [name]"""

    dropout: float = Field(0.0, ge=0, lt=1)
    """dropout before the last layer, of mlp after each hidden one [probability]"""

    hidden: tuple[Annotated[int, Field(ge=1, le=16_384)], ...] = (64, 64)
    """units of each hidden layer (mlp only) [units]"""

    width: int = Field(16, ge=1, le=512)
    """channels of the first block (cnn only); each further block has twice as many [channels]"""

    depth: int = Field(4, ge=1, le=8)
    """blocks of convolution and pooling (cnn only) [blocks]"""

    padding: int = Field(1, ge=0, le=2)
    """zeros around each convolution's input (cnn only) [pixels]"""

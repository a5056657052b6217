"""Weights that torchvision or timm names: whether they can be had, and fetched by the library.

The libraries are loaded where they are asked, since that takes seconds: a URI needs neither.
"""

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rayograph import storage
from rayograph.config import TIMM, ModelOptions, is_place
from rayograph.errors import Failure, UserError, one_line

if TYPE_CHECKING:
    from torch import Tensor

CURE = "put the file into your storage and give its URI"


def check(options: ModelOptions) -> None:
    """Raise `UserError` for weights that are not at their URI, or a name that nobody knows."""
    if options.weights and is_place(options.weights):
        if not storage.exists(options.weights):
            raise UserError(f"model.weights={options.weights}: not found; check the path")
    elif options.weights:
        _check_name(options.name, options.weights)


def check_answers(options: ModelOptions) -> None:
    """The same, and `Failure` where the server of named weights does not answer.

    Nothing is fetched, and nobody asked where the file is in the library's own cache.
    """
    check(options)
    if options.weights and not is_place(options.weights):
        url, here = _place(options.name, options.weights)
        if not here:
            storage.answers(f"model.weights={options.weights}", url, CURE)


def fetched(name: str, weights: str) -> "dict[str, Tensor]":
    """The tensors of a model's weights of that name, from the library's cache or its server."""
    check_answers(ModelOptions(name=name, weights=weights))
    from torchvision import models as zoo

    from rayograph.models import from_timm

    try:
        with storage.impatient():
            if name.startswith(TIMM):
                return dict(from_timm.pretrained(name, weights).state_dict())
            return dict(zoo.get_model(name, weights=weights).state_dict())
    except (OSError, RuntimeError) as error:  # timm's hub raises either
        raise Failure(
            f"model.weights={weights}: cannot be fetched: {one_line(error)}; {CURE}"
        ) from None


def _check_name(name: str, weights: str) -> None:
    """Raise `UserError` where neither torchvision nor timm has such weights of a model."""
    if name.startswith(TIMM):
        from rayograph.models import from_timm

        known = from_timm.tags(name)
    else:
        from torchvision import models as zoo

        known = [w.name for w in zoo.get_model_weights(name)] if name not in ("cnn", "mlp") else []
    if weights not in known:
        names = ", ".join(known) or "none"
        raise UserError(f"model.weights={weights}: {name} has {names}; or give a URI")


def _place(name: str, weights: str) -> tuple[str, bool]:
    """A URL that answers where weights can be fetched, and whether they are here already."""
    import torch
    from torchvision import models as zoo

    here: bool | None = None
    if name.startswith(TIMM):
        from rayograph.models import from_timm

        url, here = from_timm.place(name, weights)
    else:
        url = str(zoo.get_model_weights(name)[weights].url)
    if here is None:
        file = Path(torch.hub.get_dir(), "checkpoints", posixpath.basename(urlsplit(url).path))
        here = file.exists()
    return url, here

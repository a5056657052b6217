"""Weights from storage or torchvision into a model of gray films."""

import io
import pickle
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models as zoo

from rayograph import storage
from rayograph.config import is_place
from rayograph.errors import Failure, UserError


def load_weights(model: nn.Module, name: str, weights: str) -> None:
    """Start `model` from other weights, all but a head of another number of classes.

    A first layer of three channels is summed into one: a gray film in all three channels gives the
    same sums. Raises `UserError` where a layer is missing or has another shape.
    """
    state = _read(name, weights)
    own = model.state_dict()
    heads = [n.rpartition(".")[0] for n in own if n.endswith("weight")][-1]
    fitted: dict[str, Tensor] = {}
    for key, target in own.items():
        value = state.get(key)
        if value is None and key.endswith("num_batches_tracked"):
            continue
        if value is not None and value.ndim == 4 and value.shape[1] == 3 and target.shape[1] == 1:
            value = value.sum(dim=1, keepdim=True)
        if value is not None and value.shape == target.shape:
            fitted[key] = value
        elif not key.startswith(f"{heads}."):
            found = "missing" if value is None else f"of shape {list(value.shape)}"
            raise UserError(
                f"model.weights={weights}: {key} is {found}, {name} needs {list(target.shape)}; "
                "the weights must be of the same model and norm"
            )
    model.load_state_dict(fitted, strict=False)


def _read(name: str, weights: str) -> dict[str, Tensor]:
    if not is_place(weights):
        return _from_torchvision(name, weights)
    data = storage.read(weights)
    if weights.endswith(".safetensors"):
        try:
            return safetensors.torch.load(data)
        except safetensors.SafetensorError as error:
            raise UserError(f"model.weights={weights}: not safetensors: {error}") from None
    try:
        state: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"model.weights={weights}: not a file of plain weights: {reason}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    return {k: v for k, v in state.items() if isinstance(v, Tensor)}


def check_name(name: str, weights: str) -> None:
    """Raise `UserError` where torchvision has no such weights of a model."""
    known = [w.name for w in zoo.get_model_weights(name)] if name != "cnn" else []
    if weights not in known:
        names = ", ".join(known) or "none"
        raise UserError(f"model.weights={weights}: {name} has {names}; or give a URI")


def _from_torchvision(name: str, weights: str) -> dict[str, Tensor]:
    check_name(name, weights)
    try:
        return dict(zoo.get_model(name, weights=weights).state_dict())
    except OSError as error:
        raise Failure(
            f"model.weights={weights}: cannot fetch from torchvision's site: {error}; "
            "put the file into your storage and give its URI"
        ) from None

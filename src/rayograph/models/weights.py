"""Weights from storage or torchvision into a model of gray films."""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models as zoo

from rayograph import storage
from rayograph.config import is_place
from rayograph.errors import Failure, UserError, one_line

KINDS = "Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble"
PLAIN = {
    "collections OrderedDict",
    *(f"torch._utils _rebuild_{kind}" for kind in ("tensor", "tensor_v2", "parameter")),
    *(f"torch {kind}Storage" for kind in KINDS.split()),
}  # what puts a stored tensor together again
RENAMED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # in torchvision's DenseNet files
WRAPPERS = ("checkpoint", "state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "model.", "net.", "backbone.", "module.")
LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the keys of its storages


def load_weights(model: nn.Module, name: str, weights: str, classifier: str) -> None:
    """Start `model` from other weights, all but a `classifier` of another number of outputs.

    A first layer of three channels is summed into one: a gray film in all three channels gives the
    same sums. Raises `UserError` where a layer is missing or has another shape.
    """
    state = _read(name, weights)
    own = model.state_dict()
    fitted: dict[str, Tensor] = {}
    for key, target in own.items():
        value = state.get(key)
        if value is None and key.endswith("num_batches_tracked"):
            continue
        if value is not None and value.ndim == 4 and value.shape[1] == 3 and target.shape[1] == 1:
            value = value.sum(dim=1, keepdim=True)
        if value is not None and value.shape == target.shape:
            fitted[key] = value
        elif not key.startswith(f"{classifier}."):
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
            return _unwrapped(safetensors.torch.load(data))
        except (safetensors.SafetensorError, KeyError, ValueError) as error:
            raise UserError(f"model.weights={weights}: not safetensors: {error}") from None
    return _unwrapped(plain(data, f"model.weights={weights}"))


def _unwrapped(state: Any) -> dict[str, Tensor]:
    """The tensors of what people save: alone, inside a checkpoint, of DataParallel or Lightning."""
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    tensors = state if isinstance(state, dict) else {}
    tensors = {str(k): v for k, v in tensors.items() if isinstance(v, Tensor)}
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return {RENAMED.sub(r"\1\2", name): value for name, value in tensors.items()}


def plain(data: bytes, place: str) -> Any:
    """What `torch.save` wrote, if it is tensors and plain values only; runs no code.

    `weights_only` alone calls whatever makes tensors or bytes, of any size that the file says (with
    torch 2.15 a file of 1 kB became a bytearray of 976 MB, a compressed one of 40 kB 40 MB of
    zeros); so the pickle may name nothing but what puts a stored tensor together again, and nothing
    is compressed. Raises `UserError`, naming `place`.
    """
    try:
        for found in _pickles(data):
            if found - PLAIN:
                raise ValueError(f"it names {', '.join(sorted(found - PLAIN))[:100]}")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises anything on damaged bytes
        raise UserError(f"{place}: not a file of plain weights: {one_line(error)}") from None


def _pickles(data: bytes) -> Iterator[set[str]]:
    """The names that each pickle of a file of weights asks for, as `module name`."""
    if not zipfile.is_zipfile(io.BytesIO(data)):  # the form before torch 1.6: five in a row
        file = io.BytesIO(data)
        for _ in range(LEGACY_PICKLES):
            yield _names(file)
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("it is compressed")
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                yield _names(io.BytesIO(archive.read(entry)))


def _names(file: io.BytesIO) -> set[str]:
    found = set()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            found.add(str(argument))
        elif opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            found.add(opcode.name)
    return found


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

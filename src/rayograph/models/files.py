"""Tensors in a safetensors file, with text in its header."""

import json
from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

from rayograph.errors import UserError, one_line

UNLIKE = "unlike."  # begins the names of tensors that are beside the model's own


def write(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """One object with all tensors, and the metadata in its header."""
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(whole, metadata=dict(metadata))


def parted(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The model's own tensors, and those beside them."""
    own = {name: value for name, value in tensors.items() if not name.startswith(UNLIKE)}
    return own, {name: value for name, value in tensors.items() if name not in own}


def read(data: bytes, place: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a file; `UserError`, naming its place, where it is none."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return dict(header.get("__metadata__", {})), safetensors.torch.load(data)
    except (
        KeyError, TypeError, ValueError, AttributeError, RecursionError,
        safetensors.SafetensorError,
    ) as error:  # fmt: skip
        raise UserError(f"{place}: not a safetensors file: {one_line(error)}") from None

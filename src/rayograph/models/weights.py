"""Weights from storage, torchvision or timm into a model of gray films."""

import io
import pickletools
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rayograph import storage
from rayograph.config import ModelOptions, is_place
from rayograph.errors import UserError, one_line
from rayograph.models import fetching, files
from rayograph.models.registry import Family

KINDS = "Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble"
PLAIN = {
    "collections OrderedDict",
    *(f"torch._utils _rebuild_{kind}" for kind in ("tensor", "tensor_v2", "parameter")),
    *(f"torch {kind}Storage" for kind in KINDS.split()),
}  # what puts a stored tensor together again
RENAMED = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # in torchvision's DenseNet files
COUNTS = "num_batches_tracked"  # which no norm here reads
DEEPEST, FEW = 4, 3  # mappings in each other that are looked into; names in a message
MOST_CHANNELS = 16  # of a film that other weights read
LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the keys of its storages


@dataclass(frozen=True)
class Fitted:
    """The tensors of other weights that a model takes, and in a line what it does not."""

    tensors: Mapping[str, Tensor]
    told: str | None


def fitted(model: nn.Module, options: ModelOptions, family: Family) -> Fitted:
    """What `options.weights` gives a model: all of its tensors, but a head of other outputs.

    Names may have a prefix, and lie in a checkpoint. A first layer of more channels is summed into
    one: a gray film in each of them gives the same sums. Raises `UserError` where something of the
    model is missing or of another shape, or where the file has layers that the model lacks.
    """
    own = {key: t for key, t in model.state_dict().items() if not key.endswith(COUNTS)}
    read = _read(options.name, str(options.weights))
    found = _without_prefix(read, own)
    by_order = None if found.keys() & own else _by_order(read, own, family)
    found = by_order or found
    shapes = {key: list(t.shape) for key, t in found.items()}
    if family.first_conv is not None:
        first = f"{family.first_conv}.weight"
        wanted, got = list(own[first].shape), shapes.get(first, [])
        if got[1:2] <= [MOST_CHANNELS] and got == [wanted[0], *got[1:2], *wanted[2:]]:
            found[first] = found[first].sum(dim=1, keepdim=True)
    fit = {key: found[key] for key in own if key in found and found[key].shape == own[key].shape}
    lacking = [key for key in own if key not in fit and not key.startswith(f"{family.classifier}.")]
    others = [key for key in found if key not in own and not key.endswith(COUNTS)]
    rooms = {key.split(".")[0] for key in own} - {family.classifier.split(".")[0]}
    extra = [key for key in others if key.split(".")[0] in rooms]
    if lacking or extra:
        raise _misfit(options, own, shapes, lacking, extra)
    left = [f"{key} {shapes.get(key, 'is absent')}" for key in (*own, *others) if key not in fit]
    more = f" and {len(left) - FEW} more" if len(left) > FEW else ""
    told = [f"not taken: {', '.join(left[:FEW])}{more}"] if left else []
    if by_order:
        told.insert(0, "its tensors have other names, and were taken in their order")
    return Fitted(fit, f"model.weights={options.weights}: {'; '.join(told)}" if told else None)


def _by_order(
    read: Mapping[str, Tensor], own: Mapping[str, Tensor], family: Family
) -> dict[str, Tensor] | None:
    """Tensors of other names by the model's, where all are of the same shapes in the same order.

    The first layer may read other channels, and the head have other outputs; else None.
    """
    theirs = [t for key, t in read.items() if not key.endswith(COUNTS)]
    first = f"{family.first_conv}.weight"
    if len(theirs) != len(own):
        return None
    for (key, mine), tensor in zip(own.items(), theirs, strict=True):
        loose = 1 if key == first else 0  # the dimension in which they may differ
        may = key == first or key.startswith(f"{family.classifier}.")
        shapes = [list(t.shape) for t in (mine, tensor)]
        if may and len(shapes[0]) == len(shapes[1]):
            shapes = [s[:loose] + s[loose + 1 :] for s in shapes]
        if shapes[0] != shapes[1]:
            return None
    return dict(zip(own, theirs, strict=True))


def _misfit(
    options: ModelOptions,
    own: Mapping[str, Tensor],
    shapes: Mapping[str, list[int]],
    lacking: list[str],
    extra: list[str],
) -> UserError:
    """How many tensors do not fit on either side, and the first of each."""
    problems, name = [], options.name
    if lacking:
        key = lacking[0]
        is_ = f"of shape {shapes[key]}" if key in shapes else "missing"
        problems.append(
            f"{len(lacking)} of {len(own)} tensors do not fit; the first: {key} is {is_}, "
            f"{name} needs {list(own[key].shape)}"
        )
    if extra:
        problems.append(f"no layer for {len(extra)} tensors of the file; the first: {extra[0]}")
    theirs, ours = (any(key.endswith("running_mean") for key in keys) for keys in (shapes, own))
    cure = "the weights must be of the same model and norm"
    if theirs != ours and next(iter(own)) in shapes:
        cure += f": they are of model.norm={'batch' if theirs else 'group'}"
    return UserError(f"model.weights={options.weights}: {'; '.join(problems)}; {cure}")


def _read(name: str, weights: str) -> dict[str, Tensor]:
    if not is_place(weights):
        return fetching.fetched(name, weights)
    data, place = storage.read(weights), f"model.weights={weights}"
    read = files.read(data, place)[1] if weights.endswith(".safetensors") else plain(data, place)
    return files.parted(dict(_tensors(read)))[0]


def _tensors(tree: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """All tensors of what people save, by the keys that lead there, joined by dots."""
    if isinstance(tree, Tensor):
        yield RENAMED.sub(r"\1\2", path[1:]), tree
    elif isinstance(tree, dict) and depth < DEEPEST:
        for key, value in tree.items():
            yield from _tensors(value, f"{path}.{key}", depth + 1)


def _without_prefix(found: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """The tensors below the prefix, such as `state_dict.module.`, that has most of a model."""
    first = next(iter(own))
    starts = [key.removesuffix(first) for key in found if f".{key}".endswith(f".{first}")]
    start = max(starts, key=lambda start: sum(start + key in found for key in own), default="")
    return {key.removeprefix(start): t for key, t in found.items() if key.startswith(start)}


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
        raise UserError(
            f"{place}: not a file of plain weights: {one_line(error)}; save tensors only, such as "
            "torch.save(model.state_dict(), …)"
        ) from None


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

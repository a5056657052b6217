"""The kinds of files that a model's graph can become, each written, and run as a user would."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import Dim

from rayograph.data.inputs import Samples
from rayograph.errors import UserError

INPUT, OUTPUT = "samples", "probabilities"  # the names that a graph's ends have
OPSET = 18  # ONNX; the first that resizes with antialiasing, as the transform of films does
MOST_BYTES = 2**31  # of an ONNX file; protobuf counts to there
NOTES = "rayograph.json"  # in a file of torch.export, under extra/
BATCH = 2  # samples of the example; of one, torch.export would make a constant

Probabilities = npt.NDArray[np.float32]
Run = Callable[[Samples], Probabilities]


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name, what its files are called and end in, how it is written and run.

    `write` is given the graph, an example of its input, what is noted in the file, and the file.
    """

    name: str
    title: str
    suffix: str
    check: Callable[[nn.Module], None]
    write: Callable[[nn.Module, Tensor, Mapping[str, Any], Path], None]
    open: Callable[[Path], Run]


def chosen(out: str, name: str | None) -> Kind:
    """The kind of that name, or else the one that the file's suffix says; `UserError` for none."""
    said = {kind.name: kind for kind in KINDS.values() if out.lower().endswith(kind.suffix)}
    if name is None:
        if not said:
            ends = " or ".join(f"{kind.suffix} ({name})" for name, kind in KINDS.items())
            raise UserError(f"{out}: an exported model ends in {ends}; or say which with --format")
        (name,) = said
    if name not in KINDS:
        raise UserError(f"--format={name}: there are {', '.join(KINDS)}")
    if said and name not in said:
        raise UserError(f"{out}: ends as {', '.join(said)} does, and --format={name} is another")
    return KINDS[name]


def check_onnx(graph: nn.Module) -> None:
    """Raise `UserError` where a package is missing, or the graph is larger than a file can be."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format=onnx: {error.name} is not installed: pip install 'rayograph[onnx]'"
        ) from None
    size = sum(math.prod(t.shape) * t.element_size() for t in graph.state_dict().values())
    if size >= MOST_BYTES:
        raise UserError(
            f"--format=onnx: {size / 1e9:.1f} GB of weights; a file holds less than "
            f"{MOST_BYTES / 1e9:.1f} GB: use --format=torch"
        )


def _write_onnx(graph: nn.Module, example: Tensor, notes: Mapping[str, Any], file: Path) -> None:
    program = torch.onnx.export(
        graph, (example,), dynamo=True, opset_version=OPSET, verbose=False,
        input_names=[INPUT], output_names=[OUTPUT], dynamic_shapes=_any_number(),
    )  # fmt: skip
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # paths of the machine that it was made on
    for name, value in notes.items():
        text = value if isinstance(value, str) else json.dumps(value)
        program.model.metadata_props[name] = text
    program.save(file, external_data=False)


def _open_onnx(file: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(samples: Samples) -> Probabilities:
        (found,) = session.run([OUTPUT], {INPUT: samples})
        return np.asarray(found)

    return run


def _write_torch(graph: nn.Module, example: Tensor, notes: Mapping[str, Any], file: Path) -> None:
    program = torch.export.export(graph, (example,), dynamic_shapes=_any_number())
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of the machine that it was made on
    with file.open("wb") as out:
        torch.export.save(program, out, extra_files={NOTES: json.dumps(notes)})


def _open_torch(file: Path) -> Run:
    with file.open("rb") as stored:
        graph = torch.export.load(stored).module()

    def run(samples: Samples) -> Probabilities:
        with torch.inference_mode():
            return np.asarray(graph(torch.from_numpy(samples)).numpy())

    return run


def _any_number() -> tuple[dict[int, Dim]]:
    return ({0: Dim("n", min=1)},)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("torch", "torch.export", ".pt2", lambda _graph: None, _write_torch, _open_torch),
        Kind("onnx", f"ONNX, opset {OPSET}", ".onnx", check_onnx, _write_onnx, _open_onnx),
    )
}

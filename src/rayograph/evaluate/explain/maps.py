"""Saliency maps of films by captum: Grad-CAM of the family's last feature maps, input gradients."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam, Saliency
from torch import Tensor, nn

from rayograph.errors import UserError
from rayograph.models.build import family_of
from rayograph.task import Task

GRAD_CAM, GRADIENT = "grad_cam", "input_gradient"
BATCH = 16  # films at once: a backward pass keeps every layer's output

Map = npt.NDArray[np.float32]


FINE = 5  # cells across, from which a map says of places


@dataclass(frozen=True)
class Layer:
    """Where a class activation map is taken from: the layer's dotted name, its cells [h, w].

    `finer` is the last layer before it with at least five cells across; None where it has them, or
    none has.
    """

    name: str
    cells: tuple[int, int]
    finer: str | None


class LogOdds(nn.Module):
    """A network whose outputs are the log-odds of each class or label, [n, k].

    They are what a probability comes from: of classes one logit alone says nothing, since adding
    the same to all of them changes no probability. Of labels they are the logits.
    """

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network = network
        self._others = None if task.by_label else 1 - torch.eye(task.outputs)

    def forward(self, films: Tensor) -> Tensor:
        """Log-odds of films: float [n, 1, S, S] to float [n, k]."""
        logits: Tensor = self.network(films)
        if self._others is None:
            return logits
        others = logits[:, None, :] + self._others.to(logits).log()
        return logits - others.logsumexp(dim=2)


def cam_layer(name: str) -> str:
    """The layer that the Grad-CAM of a model of that name weighs; `UserError` of one of records."""
    found = family_of(name).cam_layer
    if found is None:
        raise UserError(
            f"model.name={name}: it sees records; explain makes maps of films, so give a model "
            "of films"
        )
    return found


def layer_of(name: str, network: LogOdds, inputs: Tensor, asked: str | None) -> Layer:
    """The layer `asked` for, else its family's; `inputs` [n, 1, S, S] say how large its maps are.

    `UserError` of a layer that is not there, or has no feature maps.
    """
    own = cam_layer(name)
    chosen = asked or own
    modules = dict(network.network.named_modules())
    if chosen not in modules:
        near = ", ".join(each for each in modules if each and each.count(".") < 2)
        raise UserError(f"--layer {chosen}: {name} has no such layer; it has {near}")
    sizes = _sizes(network, inputs)
    if chosen not in sizes:
        raise UserError(
            f"--layer {chosen}: gives no feature maps [n, c, h, w], once a film; leave it out for "
            f"{own}"
        )
    before = [*sizes][: [*sizes].index(chosen)]
    around = (own, own.rpartition(".")[0])  # its parts, and what stands beside it
    fine = [
        each for each in before if each.rpartition(".")[0] in around and min(sizes[each]) >= FINE
    ]
    finer = fine[-1] if fine and min(sizes[chosen]) < FINE else None
    return Layer(chosen, sizes[chosen], finer)


def _sizes(network: LogOdds, inputs: Tensor) -> dict[str, tuple[int, int]]:
    """The size [h, w] of the feature maps of each layer that has them, in the order of the work.

    Without layers that work several times.
    """
    seen: list[tuple[str, tuple[int, ...]]] = []

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            seen.append((name, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return note

    named = network.network.named_modules()
    handles = [module.register_forward_hook(hook(name)) for name, module in named if name]
    with torch.inference_mode():
        network(inputs[:1])
    for handle in handles:
        handle.remove()
    times = Counter(name for name, _ in seen)
    return {
        name: (shape[2], shape[3]) for name, shape in seen if len(shape) == 4 and times[name] == 1
    }


def maps(network: LogOdds, layer: Layer, inputs: Tensor, outputs: Tensor) -> Mapping[str, Map]:
    """Both maps float32 [n, S, S], at least 0, of films [n, 1, S, S] for one output each [n].

    `grad_cam` (Selvaraju et al., ICCV 2017): the layer's feature maps, each weighed by the mean
    gradient of the output, summed, negative values cut off, and stretched to the film.
    `input_gradient` (Simonyan et al., arXiv:1312.6034): how much each pixel would move it.
    """
    cam = LayerGradCam(network, network.network.get_submodule(layer.name))
    gradient = Saliency(network)
    found: dict[str, list[Tensor]] = {GRAD_CAM: [], GRADIENT: []}
    for start in range(0, len(inputs), BATCH):
        films = inputs[start : start + BATCH].clone().requires_grad_(True)
        target = outputs[start : start + BATCH]
        coarse = cam.attribute(films, target=target, relu_attributions=True).detach()
        size = films.shape[-2:]
        found[GRAD_CAM].append(F.interpolate(coarse, size, mode="bilinear", align_corners=False))
        found[GRADIENT].append(gradient.attribute(films, target=target).detach())
    return {name: torch.cat(each)[:, 0].float().cpu().numpy() for name, each in found.items()}


def together(
    views: Sequence[Mapping[str, Map]], corners: Sequence[tuple[int, int]]
) -> Mapping[str, Map]:
    """The mean of the maps [n, S, S] of a film's views, each put where its corner is: [n, W, W].

    It is zero outside a view: a place that fewer of them see counts less, as in the mean logits.
    """
    far = max(max(corner) for corner in corners)
    found = {name: np.pad(np.zeros_like(first), ((0, 0), (0, far), (0, far)))
             for name, first in views[0].items()}  # fmt: skip
    for made, (top, left) in zip(views, corners, strict=True):
        for name, own in made.items():
            side = own.shape[-1]
            found[name][:, top : top + side, left : left + side] += own / len(views)
    return found

"""Whether a sample is unlike those that a model was validated on: what is learned, and asked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from rayograph.errors import UserError, one_line
from rayograph.evaluate.unlike import grays
from rayograph.evaluate.unlike.distance import Floats, Gaussian, fitted
from rayograph.models.build import head
from rayograph.models.files import UNLIKE

MOST = 512  # samples of a bank
SPACES = ("features", "grays")  # what the model makes of a sample, and the film's own grays
Floats32 = npt.NDArray[np.float32]


class LastLayer:
    """A model's last layer, and what it was given in the last pass: the features of samples.

    Of films that are judged by crops they are those of the centre, which comes last.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        self._head = head(network, name)
        self._last: Tensor | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the network is used."""
        handle = self._head.register_forward_pre_hook(self._note)
        try:
            yield
        finally:
            handle.remove()

    def _note(self, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._last = inputs[0]

    @property
    def width(self) -> int:
        """Of the features."""
        assert isinstance(self._head, nn.Linear)
        return self._head.in_features

    def features(self) -> Floats32:
        """Those of the last forward pass: float32 [n, d]."""
        assert self._last is not None, "the network was not used"
        return np.asarray(self._last.flatten(1).float().cpu().numpy(), np.float32)


def _grays(inputs: npt.NDArray[np.generic]) -> Floats32 | None:
    """Of packed films; None of records."""
    return grays.statistics(inputs.astype(np.uint8, copy=False)) if inputs.ndim == 3 else None


class Bank:
    """Every so-manieth sample of a split with n of them, at most 512, as the model sees it.

    `features` float32 [m, d] and `grays` [m, 82] are zero in rows that another worker has, so that
    the workers' banks add up.
    """

    def __init__(self, network: nn.Module, name: str, n: int) -> None:
        self.last = LastLayer(network, name)
        self._every = -(-n // MOST)
        m = -(-n // self._every)
        self.features = np.zeros((m, self.last.width), np.float32)
        self.grays = np.zeros((m, grays.WIDTH), np.float32)  # all zeros for records

    def note(self, rows: npt.NDArray[np.int64], inputs: npt.NDArray[np.generic]) -> None:
        """Take what the model has just seen: packed inputs [b, *shape] of these rows."""
        own = rows % self._every == 0
        if not own.any():
            return
        places = rows[own] // self._every
        self.features[places] = self.last.features()[own]
        statistics = _grays(inputs[own])
        if statistics is not None:
            self.grays[places] = statistics


@dataclass(frozen=True)
class Unlike:
    """A Gaussian for each space that there is one for, and the distance from which it is far."""

    spaces: Mapping[str, tuple[Gaussian, float]]

    @classmethod
    def of(cls, features: Floats32, statistics: Floats32) -> "Unlike | None":
        """That of a whole bank; None where there is too little of it, or all is the same."""
        banks = zip(SPACES, (features, statistics), strict=True)
        found = {name: fitted(bank) for name, bank in banks}
        spaces = {name: each for name, each in found.items() if each is not None}
        return cls(spaces) if "features" in spaces else None

    @property
    def limits(self) -> dict[str, float]:
        """The distances that 1 % of the bank exceed, as the card has them."""
        return {name: limit for name, (_, limit) in self.spaces.items()}

    def tensors(self) -> dict[str, Tensor]:
        """As a model's file has them."""
        return {
            f"{UNLIKE}{name}.{part}": torch.from_numpy(values)
            for name, (gaussian, _) in self.spaces.items()
            for part, values in gaussian.arrays().items()
        }

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], limits: Mapping[str, float], width: int, place: str
    ) -> "Unlike":
        """From a file's tensors, of features [n, width].

        `UserError`, naming its place, where they are not such.
        """
        widths = {"features": width, "grays": grays.WIDTH}
        if unknown := [name for name in limits if name not in widths]:
            raise UserError(f"{place}: no distance is measured in {one_line(unknown[0])}")
        return cls(
            {name: (_read(tensors, name, widths[name], place), limits[name]) for name in limits}
        )

    def distances(self, features: Floats32, inputs: Sequence[npt.NDArray[np.generic]]) -> Floats:
        """The larger distance of each sample over its limit: above 1 it is unlike; float64 [n].

        By one thread: the sums of several may differ in their last bit.
        """
        views = {"features": features}
        if "grays" in self.spaces:
            views["grays"] = grays.statistics(np.stack(inputs).astype(np.uint8, copy=False))
        with threadpool_limits(1, "blas"):
            ratios = [
                gaussian.distances(views[name]) / limit
                for name, (gaussian, limit) in self.spaces.items()
            ]
        return np.asarray(np.max(ratios, axis=0))


def _read(tensors: Mapping[str, Tensor], name: str, width: int, place: str) -> Gaussian:
    parts = [tensors.get(f"{UNLIKE}{name}.{part}") for part in ("mean", "axes", "variances")]
    mean, axes, variances = (
        np.zeros(0, np.float32) if part is None else part.numpy() for part in parts
    )
    fit = axes.ndim == 2 and mean.shape == (width,) == axes.shape[1:]
    fit = fit and len(variances) == len(axes) + 1
    if not fit or not all(each.dtype == np.float32 for each in (mean, axes, variances)):
        raise UserError(f"{place}: {UNLIKE}{name} is damaged; take the file as it was written")
    return Gaussian(mean, axes, variances)

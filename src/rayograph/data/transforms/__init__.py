"""From packed samples to what the model sees, for whole batches, on the device.

One implementation for training, evaluation and prediction, on CPUs and GPUs alike.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from rayograph.config import AugmentOptions
from rayograph.data.recipe import TableTransform, TransformSpec
from rayograph.data.transforms.films import FilmTransform
from rayograph.data.transforms.records import RecordTransform


class Transform(Protocol):
    """What the loop needs to know of a kind of input."""

    draws: int  # random numbers that a training sample takes

    def train(self, samples: Tensor, draws: Tensor) -> Tensor:
        """Packed samples [n, …] and draws [n, draws] in, what training sees out, float32."""

    def views(self, samples: Tensor) -> Sequence[Tensor]:
        """Packed samples [n, …] in, what evaluation sees out, float32 [n, …] a view.

        A sample's logits are the mean over its views.
        """

    def stressed(self) -> "Sequence[Transform]":
        """Transforms that judge samples under changes which should not matter, one for each."""


def build(spec: TransformSpec, options: AugmentOptions | None = None) -> Transform:
    """The transform that a dataset's moments and the options describe; no options: no draws."""
    if isinstance(spec, TableTransform):
        return RecordTransform(spec)
    return FilmTransform(spec, options or AugmentOptions())


def stream_seed(*parts: int) -> int:
    """A 63-bit seed from a tuple such as (seed, epoch, step, rank)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw(samples: int, draws: int, seed: int, epoch: int, step: int) -> Tensor:
    """The draws of a global batch, uniform in [0, 1), float32 [samples, draws], on the CPU.

    They are sliced afterwards, so a sample gets the same ones on any worker.
    """
    generator = torch.Generator().manual_seed(stream_seed(seed, epoch, step))
    return torch.rand(samples, draws, generator=generator)

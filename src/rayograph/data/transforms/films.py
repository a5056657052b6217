"""Gray films as the model sees them.

For evaluation: the whole film, resized with antialiasing. For training: one affine sampling (scale,
shift, rotation, flip), then contrast and brightness.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rayograph.config import AugmentOptions
from rayograph.data.recipe import ImageTransform


class FilmTransform:
    """Films uint8 [n, P, P] in, normalised float32 [n, 1, S, S] out."""

    draws = 7  # scale, shift x, shift y, rotation, brightness, contrast, flip

    def __init__(self, spec: ImageTransform, options: AugmentOptions) -> None:
        self._spec = spec
        self._options = options

    def evaluate(self, samples: Tensor) -> Tensor:
        """The whole film."""
        return self._normalised(_shrunk(samples.unsqueeze(1).float(), self._spec.size) / 255)

    def train(self, samples: Tensor, draws: Tensor) -> Tensor:
        """The film changed as its draws, uniform in [0, 1), say.

        It is first shrunk, antialiased, to where the smallest crop has the wanted size, so that the
        sampling that follows neither aliases nor blurs.
        """
        options, mean = self._options, self._spec.mean
        working = min(samples.shape[-1], math.ceil(self._spec.size / options.scale[0]))
        pictures = _shrunk(samples.unsqueeze(1).float(), working) / 255
        shape = [len(samples), 1, self._spec.size, self._spec.size]
        grid = F.affine_grid(self._affine(draws).to(pictures), shape, align_corners=False)
        pictures = F.grid_sample(pictures, grid, mode="bilinear", align_corners=False)
        signed = 2 * draws - 1
        brightness = (options.brightness * signed[:, 4]).to(pictures)[:, None, None, None]
        contrast = (1 + options.contrast * signed[:, 5]).to(pictures)[:, None, None, None]
        return self._normalised((pictures - mean) * contrast + mean + brightness)

    def _affine(self, draws: Tensor) -> Tensor:
        """Each film's 2 × 3 matrix in grid_sample's coordinates, where its side is 2."""
        options, signed = self._options, 2 * draws - 1
        low, high = options.scale
        scale = low + (high - low) * draws[:, 0]
        shift = options.shift * 2 * signed[:, 1:3]
        angle = math.radians(options.rotation) * signed[:, 3]
        mirror = torch.where(draws[:, 6] < options.flip, -1.0, 1.0)
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        rows = [torch.stack([cos * mirror, -sin, shift[:, 0]], 1)]
        rows += [torch.stack([sin * mirror, cos, shift[:, 1]], 1)]
        return torch.stack(rows, 1)

    def _normalised(self, pictures: Tensor) -> Tensor:
        return (pictures - self._spec.mean) / self._spec.std


def _shrunk(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(
        pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )

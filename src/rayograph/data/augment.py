"""From packed films to what the model sees, for whole batches, on the device; CPU and GPU alike.

For evaluation: the whole film, resized with antialiasing. For training: one affine sampling
(scale, shift, rotation, flip), then contrast and brightness. The draws of a global batch come from
(seed, epoch, step) and are sliced afterwards, so a film gets the same ones on any worker.
"""

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rayograph.config import AugmentOptions

DRAWS = 7  # a film's: scale, shift x, shift y, rotation, brightness, contrast, flip


def stream_seed(*parts: int) -> int:
    """A 63-bit seed from a tuple such as (seed, epoch, step, rank)."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw(films: int, seed: int, epoch: int, step: int) -> Tensor:
    """The draws of a global batch: uniform in [0, 1), float32 of shape [films, 7], on the CPU."""
    generator = torch.Generator().manual_seed(stream_seed(seed, epoch, step))
    return torch.rand(films, DRAWS, generator=generator)


def whole(films: Tensor, size: int, mean: float, std: float) -> Tensor:
    """Films as evaluation sees them: uint8 [n, P, P] in, normalised float32 [n, 1, S, S] out."""
    return _normalise(_shrink(films.unsqueeze(1).float(), size) / 255, mean, std)


def augmented(
    films: Tensor, draws: Tensor, options: AugmentOptions, size: int, mean: float, std: float
) -> Tensor:
    """Films as training sees them: uint8 [n, P, P] and draws [n, 7] in, float32 [n, 1, S, S] out.

    The film is first shrunk, antialiased, to where the smallest crop has `size` pixels, so that the
    sampling that follows neither aliases nor blurs.
    """
    low, high = options.scale
    working = min(films.shape[-1], math.ceil(size / low))
    pictures = _shrink(films.unsqueeze(1).float(), working) / 255
    signed = 2 * draws - 1
    scale = low + (high - low) * draws[:, 0]
    shift = options.shift * 2 * signed[:, 1:3]  # a film's side is 2 in grid_sample's coordinates
    angle = math.radians(options.rotation) * signed[:, 3]
    mirror = torch.where(draws[:, 6] < options.flip, -1.0, 1.0)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = [torch.stack([cos * mirror, -sin, shift[:, 0]], 1)]
    rows += [torch.stack([sin * mirror, cos, shift[:, 1]], 1)]
    shape = [len(films), 1, size, size]
    grid = F.affine_grid(torch.stack(rows, 1).to(pictures), shape, align_corners=False)
    pictures = F.grid_sample(pictures, grid, mode="bilinear", align_corners=False)
    brightness = (options.brightness * signed[:, 4]).to(pictures)[:, None, None, None]
    contrast = (1 + options.contrast * signed[:, 5]).to(pictures)[:, None, None, None]
    return _normalise((pictures - mean) * contrast + mean + brightness, mean, std)


def _shrink(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(
        pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )


def _normalise(pictures: Tensor, mean: float, std: float) -> Tensor:
    return (pictures - mean) / std

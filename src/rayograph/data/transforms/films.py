"""Gray films as the model sees them.

For evaluation: the film resized with antialiasing, whole or in five crops. For training: one affine
sampling (crop, stretch, shift, rotation, flip), then the tone curve, contrast and brightness.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rayograph.config import AugmentOptions
from rayograph.data.recipe import ImageTransform
from rayograph.data.transforms.stress import CHANGES, Change

SHARPEST = 1.5  # pixels that are sampled, for one of the result: of more a whole film would alias
DARKEST = 1 / 255  # deviation of a film of one gray, by which it is not made noise


class FilmTransform:
    """Films uint8 [n, P, P] in, normalised float32 [n, 1, S, S] out.

    Its draws: scale or area, place x, place y, rotation, brightness, contrast, flip; and where a
    run uses them aspect and gamma. None where nothing is changed: training sees the whole film.
    """

    def __init__(
        self, spec: ImageTransform, options: AugmentOptions, change: Change | None = None
    ) -> None:
        self._spec = spec
        self._options = options
        self._change = change  # of films that are judged
        self.draws = 7 if options.area is None and options.gamma == 1 else 9
        if options.still:
            self.draws = 0

    def views(self, samples: Tensor) -> tuple[Tensor, ...]:
        """The whole film; or its four corners and, last, its centre.

        A film that is packed too small for its crops is enlarged, as in training.
        """
        spec, films = self._spec, samples.unsqueeze(1).float()
        if self._change:
            films = self._change(films)
        films = _shrunk(films, spec.side) / 255
        return tuple(
            self._normalised(films[..., top : top + spec.size, left : left + spec.size])
            for top, left in spec.corners
        )

    def stressed(self) -> "list[FilmTransform]":
        """The same for films that are changed before they are judged, one for each change."""
        return [FilmTransform(self._spec, self._options, change) for change in CHANGES]

    def train(self, samples: Tensor, draws: Tensor) -> Tensor:
        """The film changed as its draws, uniform in [0, 1), say.

        It is first shrunk, antialiased, to where the smallest crop has the wanted size, so that the
        sampling that follows neither aliases nor blurs.
        """
        if not self.draws:
            return self._normalised(_shrunk(samples.unsqueeze(1).float(), self._spec.size) / 255)
        options, mean = self._options, self._spec.mean
        smallest = max(self._smallest(), 1 / SHARPEST)
        working = min(samples.shape[-1], math.ceil(self._spec.size / smallest))
        pictures = _shrunk(samples.unsqueeze(1).float(), working) / 255
        shape = [len(samples), 1, self._spec.size, self._spec.size]
        grid = F.affine_grid(self._affine(draws).to(pictures), shape, align_corners=False)
        pictures = F.grid_sample(pictures, grid, mode="bilinear", align_corners=False)
        signed = 2 * draws - 1
        if options.gamma != 1:
            exponents = torch.exp(math.log(options.gamma) * signed[:, 8])
            pictures = pictures.clamp(0, 1) ** exponents.to(pictures)[:, None, None, None]
        brightness = (options.brightness * signed[:, 4]).to(pictures)[:, None, None, None]
        contrast = (1 + options.contrast * signed[:, 5]).to(pictures)[:, None, None, None]
        return self._normalised((pictures - mean) * contrast + mean + brightness)

    def _smallest(self) -> float:
        """The shortest side of a crop, as a part of the film's."""
        options = self._options
        if options.area is None:
            return options.scale[0]
        narrowest = min(options.aspect[0], 1 / options.aspect[1])
        return math.sqrt(options.area[0] * max(narrowest, options.area[0]))

    def _affine(self, draws: Tensor) -> Tensor:
        """Each film's 2 × 3 matrix in grid_sample's coordinates, where its side is 2."""
        options, signed = self._options, 2 * draws - 1
        if options.area is None:
            low, high = options.scale
            width = height = low + (high - low) * draws[:, 0]
            place = options.shift * 2 * signed[:, 1:3]
        else:
            width, height = _crop(options.area, options.aspect, draws)
            place = (1 - torch.stack([width, height], 1)) * signed[:, 1:3]
        angle = math.radians(options.rotation) * signed[:, 3]
        mirror = torch.where(draws[:, 6] < options.flip, -1.0, 1.0)
        cos, sin = torch.cos(angle), torch.sin(angle)
        rows = [torch.stack([width * cos * mirror, -height * sin, place[:, 0]], 1)]
        rows += [torch.stack([width * sin * mirror, height * cos, place[:, 1]], 1)]
        return torch.stack(rows, 1)

    def _normalised(self, pictures: Tensor) -> Tensor:
        if self._spec.normalize == "film":
            std, mean = torch.std_mean(pictures, dim=(1, 2, 3), correction=0, keepdim=True)
            return (pictures - mean) / std.clamp(min=DARKEST)
        return (pictures - self._spec.mean) / self._spec.std


def _crop(
    area: tuple[float, float], aspect: tuple[float, float], draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Width and height [n] of crops, parts of the film's side, that lie inside it.

    Of the draws the first says which area, and the eighth which aspect: log-uniform within its
    range, as far as the crop fits. Source: the crop of Szegedy et al., CVPR 2015,
    arXiv:1409.4842, section 6.
    """
    part = area[0] + (area[1] - area[0]) * draws[:, 0]
    low = part.clamp(min=aspect[0]).log()
    high = (1 / part).clamp(max=aspect[1]).log()
    ratio = torch.exp(low + (high - low) * draws[:, 7])
    return (part * ratio).sqrt().clamp(max=1), (part / ratio).sqrt().clamp(max=1)


def _shrunk(pictures: Tensor, size: int) -> Tensor:
    if pictures.shape[-1] == size:
        return pictures
    return F.interpolate(
        pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )

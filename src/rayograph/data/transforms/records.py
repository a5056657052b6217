"""Records as the model sees them: standardised numbers, a one for the category, flags."""

import torch
from torch import Tensor

from rayograph.data.recipe import TableTransform


class RecordTransform:
    """Records float32 [n, columns] in, float32 [n, inputs of the model] out."""

    draws = 0  # nothing is changed at random

    def __init__(self, spec: TableTransform) -> None:
        features = spec.features
        numbers = [i for i, each in enumerate(features) if not each.categories]
        codes = [(i, c) for i, each in enumerate(features) for c in range(each.categories)]
        self._numbers = torch.tensor(numbers, dtype=torch.long)
        self._mean = torch.tensor([features[i].mean for i in numbers])
        self._std = torch.tensor([features[i].std for i in numbers])
        self._owner = torch.tensor([i for i, _ in codes], dtype=torch.long)
        self._code = torch.tensor([float(c) for _, c in codes])
        flagged = [i for i, each in enumerate(features) if each.flag]
        self._flagged = torch.tensor(flagged, dtype=torch.long)

    def views(self, samples: Tensor) -> tuple[Tensor]:
        """The record as it is: one view."""
        return (self._seen(samples),)

    def train(self, samples: Tensor, draws: Tensor) -> Tensor:  # noqa: ARG002
        """The same: a record is not augmented."""
        return self._seen(samples)

    def _seen(self, samples: Tensor) -> Tensor:
        """Numbers, then categories, then flags, each in the order of the columns."""
        here = samples.device
        numbers = samples[:, self._numbers.to(here)]
        numbers = ((numbers - self._mean.to(here)) / self._std.to(here)).nan_to_num(nan=0.0)
        categories = samples[:, self._owner.to(here)] == self._code.to(here)
        flags = samples[:, self._flagged.to(here)].isnan()
        return torch.cat([numbers, categories.float(), flags.float()], dim=1)

    def stressed(self) -> "list[RecordTransform]":
        """None: a record has no form and no tone."""
        return []

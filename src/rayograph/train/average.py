"""The average of the weights over the steps, which is judged and published where a run has one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

WARM = 10  # updates; see `_mix`


class Average:
    """An exponential moving average of a model's weights (EMA), and of batch norm's statistics.

    Statistics are averaged too, as timm and torchvision's training do, since those of the trained
    weights do not fit averaged ones. Source: Polyak and Juditsky, 1992, doi:10.1137/0330046.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._averaged = AveragedModel(model, multi_avg_fn=self._mix, use_buffers=True)

    @property
    def model(self) -> nn.Module:
        """A model of the averaged weights."""
        found: nn.Module = self._averaged.module
        return found

    @property
    def updates(self) -> int:
        """Steps that are in the average."""
        return int(self._averaged.n_averaged)

    def update(self, model: nn.Module) -> None:
        """Take in a model's weights after a step; the first ones are the whole average."""
        self._averaged.update_parameters(model)

    def load(self, tensors: Mapping[str, Any], updates: Any) -> None:
        """Go on from an average of so many updates.

        Raises `RuntimeError` where the tensors are of another model, and `ValueError` where
        `updates` is no number of them.
        """
        if not isinstance(updates, int) or not 0 <= updates < 2**62:
            raise ValueError(f"{updates!r:.20} is no number of updates")
        self.model.load_state_dict(tensors)
        self._averaged.n_averaged.fill_(updates)

    def _mix(self, averaged: Any, trained: Any, _updates: Tensor | int) -> None:
        """One update, with a decay that rises at first, lest the first weights stay for long.

        Source: `num_updates` of TensorFlow's ExponentialMovingAverage.
        """
        decay = min(self._decay, (1 + self.updates) / (WARM + self.updates))
        get_ema_multi_avg_fn(decay)(averaged, trained, self.updates)

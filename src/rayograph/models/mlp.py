"""The network for records: linear layers."""

from torch import Tensor, nn

from rayograph.config import ModelOptions
from rayograph.models.layers import Head


class MLP(nn.Module):
    """Linear layers of `model.hidden` units with ReLU and dropout between them."""

    def __init__(self, options: ModelOptions, inputs: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, units in enumerate(options.hidden):
            layers += [nn.Dropout(options.dropout)] if place else []  # the last one is the head's
            layers += [nn.Linear(inputs, units), nn.ReLU(inplace=True)]
            inputs = units
        self.features = nn.Sequential(*layers)
        self.classifier = Head(inputs, outputs, options.dropout)

    def forward(self, records: Tensor) -> Tensor:
        """Logits of records: float [n, inputs] to float [n, outputs]."""
        logits: Tensor = self.classifier(self.features(records))
        return logits

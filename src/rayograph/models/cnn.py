"""The network of the paper that rayograph grew out of."""

from torch import Tensor, nn

from rayograph.config import ModelOptions
from rayograph.models.layers import Head, group_norm

HIDDEN = 128  # units before the last layer


class PaperCNN(nn.Module):
    """Blocks of convolution, norm, ReLU and pooling, then two linear layers.

    The network of the paper that rayograph grew out of, which told COVID-19 films from normal ones;
    its author tried padding 1 and 2. Width doubles from block to block.
    """

    def __init__(self, options: ModelOptions, channels: int, outputs: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = channels
        for block in range(options.depth):
            width = options.width * 2**block
            norm = group_norm(width) if options.norm == "group" else nn.BatchNorm2d(width)
            convolution = nn.Conv2d(inputs, width, 3, padding=options.padding, bias=False)
            blocks += [convolution, norm, nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            inputs = width
        self.features = nn.Sequential(*blocks)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.classifier = nn.Sequential(
            nn.Linear(16 * inputs, HIDDEN), nn.ReLU(inplace=True),
            Head(HIDDEN, outputs, options.dropout),
        )  # fmt: skip

    def forward(self, films: Tensor) -> Tensor:
        """Logits of films: float [n, 1, S, S] to float [n, outputs]."""
        logits: Tensor = self.classifier(self.pool(self.features(films)))
        return logits


def side_after(options: ModelOptions, side: int) -> int:
    """What is left of a film's side after all blocks; below 1, nothing."""
    for _ in range(options.depth):
        side = (side - 2 + 2 * options.padding) // 2
    return side

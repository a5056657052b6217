"""How labels become what training aims at."""

from typing import Literal

from rayograph.config.base import Options


class LabelOptions(Options):
    """How labels become targets of the loss."""

    uncertain: Literal["ignore", "positive", "negative", "smooth"] = "ignore"
    """an uncertain label (several labels a film): ignore: takes no part; positive, negative: counts
    as that; smooth: counts as 0.7 (arXiv:1901.07031, arXiv:1911.06475) [name]"""

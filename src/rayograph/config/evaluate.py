"""How a trained model is asked, wherever it is."""

from typing import Literal

from pydantic import Field

from rayograph.config.base import Options


class EvaluateOptions(Options):
    """In how many views a model sees a film that it judges; kept in the model, for ever after."""

    views: Literal["whole", "five"] = "whole"
    """a film is judged whole, or by the mean logits of five crops, its corners and its centre, at
    five times the cost; five helps a model that was trained on crops (`augment.area`): it sees
    films at the scale that it was trained on [name]"""

    crop: float = Field(0.9, ge=0.5, lt=1)
    """side of each of the five crops, as a part of the film's [fraction]"""

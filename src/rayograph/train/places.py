"""Whom a run names: its dataset's store, a tracker, the place of weights; asked without torch."""

from rayograph.config import RunConfig
from rayograph.data.dataset import Dataset
from rayograph.models import fetching
from rayograph.runs import tracking


def check(config: RunConfig) -> None:
    """Raise where the dataset, tracker or weights that a run names cannot be had; nothing is made.

    It comes before anything that takes a while, imports too: who does not answer is told of soon.
    Only weights by name need torch, whose libraries know where they are.
    """
    tracking.check(config.mlflow)
    if config.data.uri != "phantom":
        Dataset.open(config.data.uri)
    fetching.check_answers(config.model)

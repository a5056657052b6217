"""Models of one dataset that judge together: by the mean of their probabilities.

Each one's probabilities are by its own temperature. Their operating points are the mean of those
that each was given on its own validation samples; none has a band in which all of them abstain.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rayograph.errors import UserError
from rayograph.runs.card import ModelCard
from rayograph.task import OperatingPoints, Task

Floats = npt.NDArray[np.float64]


def card(cards: Sequence[ModelCard], names: Sequence[str]) -> ModelCard:
    """What is true of all of them, of one model its own card.

    Raises `UserError`, by their `names`, where their datasets differ: so none has been trained on
    what another one is judged by.
    """
    first = cards[0]
    if len(cards) == 1:
        return first
    for other, name in zip(cards, names, strict=True):
        if other.fingerprint != first.fingerprint:
            raise UserError(
                f"{name}: was trained on {other.dataset}, {names[0]} on {first.dataset}; models "
                "judge together if they are seeds or folds of one dataset"
            )
    points = mean_points([each.operating_points for each in cards])
    return first.model_copy(update={"operating_points": points, "temperature": 1.0, "band": None})


def digest(digests: Sequence[str]) -> str:
    """SHA-256 that names these models, in this order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def logits(task: Task, said: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """Logits [n, outputs] whose probabilities are the mean of those of each model's logits."""
    return task.logits(np.mean([task.probabilities(np.asarray(s, np.float64)) for s in said], 0))


def mean_points(given: Sequence[OperatingPoints]) -> OperatingPoints:
    """The mean of the operating points that there are, of each label; None without any."""
    known = [each for each in given if each is not None]
    if not known:
        return None
    columns = [[p for p in column if p is not None] for column in zip(*known, strict=True)]
    return tuple(float(np.mean(column)) if column else None for column in columns)

"""The probability from which a sample counts as positive, as a split suggests it by a rule."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rayograph.errors import UserError, one_line

Floats = npt.NDArray[np.float64]
OperatingPoints = tuple[float | None, ...] | None  # None of a label: nothing suggests one
RULES = re.compile(r"(youden)|(sensitivity|specificity|cost)=(\d*\.?\d+)")
YOUDEN = "youden"


@dataclass(frozen=True)
class Rule:
    """How an operating point is chosen: a name, and the number that it needs.

    `youden` maximises sensitivity + specificity (Youden, Cancer 3 (1950) 32); `sensitivity=0.95` is
    the highest probability that reaches so much, `specificity=0.95` the lowest that does; `cost=10`
    makes misses (ten false alarms' worth each) and false alarms cost least, at the prevalence of
    the films that it is chosen on.
    """

    name: str
    number: float | None = None

    @property
    def words(self) -> str:
        """What such a point does, as in `a point that …`."""
        if self.name == YOUDEN:
            return "maximises sensitivity + specificity"
        if self.name == "cost":
            return f"costs least where a miss costs {self.number:g} false alarms"
        end = "highest" if self.name == "sensitivity" else "lowest"
        return f"is the {end} of {self.name} {self.number:g} or more"


def rule(said: str, asker: str) -> Rule:
    """The rule in words, `sensitivity=0.95`; `UserError`, naming who asks, where it is none."""
    match = RULES.fullmatch(said)
    if match is None:
        raise UserError(
            f"{asker}: {one_line(said)}: no rule; write youden, sensitivity=0.95, "
            "specificity=0.95 or cost=10 (how many false alarms a miss is worth)"
        )
    if match[1]:
        return Rule(YOUDEN)
    found = Rule(match[2], float(match[3]))
    if not 0 < float(match[3]) <= (np.inf if found.name == "cost" else 1):
        ends = "above 0" if found.name == "cost" else "above 0 and at most 1"
        raise UserError(f"{asker}: {one_line(said)}: {found.name} is a number {ends}")
    return found


def chosen(truth: npt.NDArray[np.integer], scores: Floats, by: Rule) -> float | None:
    """The probability that a rule chooses, of truth [n] (1 or 0) and probabilities [n].

    It is the midpoint between two neighbouring scores (0 below the lowest, 1 above the highest), so
    that no sample sits exactly on it; of equally good ones the highest is taken, of a specificity
    the lowest. None where all samples are of one kind, or where only a probability above 1 would
    do.
    """
    levels, place = np.unique(scores, return_inverse=True)
    positives = np.bincount(place, weights=truth, minlength=len(levels))[::-1]
    negatives = np.bincount(place, weights=1 - truth, minlength=len(levels))[::-1]
    if not positives.any() or not negatives.any():
        return None
    # From nothing flagged on: one more level each, from the highest down.
    hits, alarms = (np.append(0.0, each.cumsum()) for each in (positives, negatives))
    at = _place(hits, alarms, by)
    edges = np.concatenate([[0.0], levels, [1.0]])[::-1]  # 1, the scores from the highest, 0
    upper, lower = (edges[0], edges[1]) if at == 0 else (edges[at], edges[at + 1])
    if upper <= lower and at == 0:
        return None
    # Between neighbouring floats the midpoint rounds to one of them: it must not be the lower.
    return float(max((lower + upper) / 2, np.nextafter(lower, upper)))


def _place(hits: Floats, alarms: Floats, by: Rule) -> int:
    """How many of the levels, from the highest, are flagged by a rule.

    Whole numbers are compared, so that equally good levels are exactly equal.
    """
    ends = hits[-1], alarms[-1]
    if by.number is None:
        return 1 + int(np.argmax((hits * ends[1] - alarms * ends[0])[1:]))
    if by.name == "sensitivity":
        return int(np.argmax(hits / ends[0] >= by.number))
    if by.name == "specificity":
        return int(np.flatnonzero((ends[1] - alarms) / ends[1] >= by.number)[-1])
    return int(np.argmin(by.number * (ends[0] - hits) + alarms))

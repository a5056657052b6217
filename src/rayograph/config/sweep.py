"""What can be chosen about a sweep."""

from typing import Literal

from pydantic import Field

from rayograph.config.base import Options


class SweepOptions(Options):
    """How a sweep searches: what proposes trials, what stops them, and when the whole ends."""

    searcher: Literal["grid", "random", "optuna"] = "random"
    """grid: every combination; optuna: TPE, which learns from the trials so far [name]"""

    scheduler: Literal["fifo", "asha", "pbt"] = "fifo"
    """asha stops trials that lag; pbt hands weights over; fifo does neither [name]"""

    max_trials: int | None = Field(None, ge=1, le=10_000)
    """trials in all; null: the whole grid, or 16 [trials]"""

    max_time: float | None = Field(None, gt=0)
    """when to stop, with the best so far published; null: never [s]"""

    grace: int = Field(1, ge=1)
    """epochs that asha leaves every trial [epochs]"""

    reduction: float = Field(3, gt=1, le=100)
    """asha lets the best of this many go on, at grace, grace × this, … epochs [trials]"""

    perturb_every: int = Field(2, ge=1)
    """epochs after which pbt replaces the worst quarter by perturbed copies [epochs]"""

    seed: int = Field(0, ge=0)
    """of the proposals and perturbations [seed]"""

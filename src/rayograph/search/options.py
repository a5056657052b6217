"""What can be chosen about a sweep."""

from typing import Literal

from pydantic import BaseModel, Field


class SweepOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How a sweep searches: who proposes trials, who stops them, and when all of it ends."""

    searcher: Literal["grid", "random", "optuna"] = Field(
        "random",
        description="grid: every combination; optuna: TPE, which learns from the trials so far",
        json_schema_extra={"unit": "name"},
    )
    scheduler: Literal["fifo", "asha", "pbt"] = Field(
        "fifo",
        description="asha stops trials that lag; pbt hands weights over; fifo does neither",
        json_schema_extra={"unit": "name"},
    )
    max_trials: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="trials in all; null: the whole grid, or 16",
        json_schema_extra={"unit": "trials"},
    )
    max_time: float | None = Field(
        None,
        gt=0,
        description="when to stop, with the best so far published; null: never",
        json_schema_extra={"unit": "s"},
    )
    grace: int = Field(
        1,
        ge=1,
        description="epochs that asha leaves every trial",
        json_schema_extra={"unit": "epochs"},
    )
    reduction: float = Field(
        3,
        gt=1,
        le=100,
        description="asha lets the best of so many go on, at grace, grace × this, … epochs",
        json_schema_extra={"unit": "trials"},
    )
    perturb_every: int = Field(
        2,
        ge=1,
        description="epochs after which pbt replaces the worst quarter by perturbed copies",
        json_schema_extra={"unit": "epochs"},
    )
    seed: int = Field(
        0,
        ge=0,
        description="of the proposals and perturbations",
        json_schema_extra={"unit": "seed"},
    )

"""What can be chosen about the machines."""

from pydantic import BaseModel, Field


class ClusterOptions(BaseModel, frozen=True, extra="forbid"):
    """How many workers train, and what each of them gets."""

    workers: int = Field(
        1,
        ge=1,
        le=1024,
        description="processes that train together",
        json_schema_extra={"unit": "workers"},
    )
    cpus_per_worker: int = Field(
        1,
        ge=1,
        le=512,
        description="cores and compute threads of each",
        json_schema_extra={"unit": "CPUs"},
    )
    gpus_per_worker: float = Field(
        0,
        ge=0,
        le=1,
        description="1: a GPU each; less, for one worker only: a part of one; 0: CPUs",
        json_schema_extra={"unit": "GPUs"},
    )

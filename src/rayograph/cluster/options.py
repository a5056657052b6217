"""What can be chosen about the machines."""

from typing import Annotated

from pydantic import BaseModel, Field, model_validator

Workers = Annotated[int, Field(ge=1, le=1024)]


class ClusterOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How many workers train, and what each of them gets."""

    workers: Workers | tuple[Workers, Workers] = Field(
        1,
        description="processes that train together; [2, 8]: as many as there are machines for",
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
    hang_s: float = Field(
        600,
        ge=5,
        description="a worker without a step for so long is ended, and the run goes on",
        json_schema_extra={"unit": "seconds"},
    )

    @property
    def least(self) -> int:
        """Workers without which nothing is trained."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most(self) -> int:
        """Workers beyond which none is added."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @model_validator(mode="after")
    def _ordered(self) -> "ClusterOptions":
        if self.least > self.most:
            raise ValueError(f"workers [{self.least}, {self.most}] must be two rising numbers")
        return self

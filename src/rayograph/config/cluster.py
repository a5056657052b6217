"""What can be chosen about the machines."""

from typing import Annotated

from pydantic import Field, model_validator

from rayograph.config.base import Options

Workers = Annotated[int, Field(ge=1, le=1024)]


class ClusterOptions(Options):
    """How many workers train, and what each of them gets."""

    workers: Workers | tuple[Workers, Workers] = 1
    """processes that train together; [2, 8]: as many as there is room for [workers]"""

    cpus_per_worker: int = Field(1, ge=1, le=512)
    """cores and compute threads of each [CPUs]"""

    gpus_per_worker: float = Field(0, ge=0, le=1)
    """1: a GPU each; less, for one worker only: a part of one; 0: CPUs [GPUs]"""

    hang_s: float = Field(600, ge=5)
    """a worker without a step for this long is ended, and the run recovers [seconds]"""

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
            raise ValueError(f"workers [{self.least}, {self.most}]: must be min ≤ max")
        return self

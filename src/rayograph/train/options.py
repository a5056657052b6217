"""What can be chosen about training: the loop, its optimizer, its checkpoints, its run folder."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class TrainOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How long, in what batches, and by what measure a run trains."""

    epochs: int = Field(
        10,
        ge=1,
        le=10_000,
        description="passes over the training films",
        json_schema_extra={"unit": "epochs"},
    )
    batch_size: int = Field(
        32,
        ge=2,
        le=65_536,
        description="films per optimizer step, over all workers",
        json_schema_extra={"unit": "films"},
    )
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="films per forward pass and batch norm of a worker, to save memory; null: all",
        json_schema_extra={"unit": "films"},
    )
    seed: int = Field(
        0,
        ge=0,
        description="of weights, order, augmentation and dropout",
        json_schema_extra={"unit": "seed"},
    )
    precision: Literal["auto", "float32", "bf16"] = Field(
        "auto",
        description="auto: bf16 autocast on GPUs that have it, else float32",
        json_schema_extra={"unit": "name"},
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: a film's loss is weighted by its class's inverse frequency",
        json_schema_extra={"unit": "name"},
    )
    select: Literal["val_auroc", "val_accuracy", "val_loss"] = Field(
        "val_auroc",
        description="what the best epoch is best at",
        json_schema_extra={"unit": "name"},
    )
    on_nan: Literal["stop", "skip", "restore"] = Field(
        "stop",
        description="where a loss is no number: stop; skip the step; or restore the last "
        "checkpoint's weights and skip it",
        json_schema_extra={"unit": "name"},
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="stop after so many epochs without a better one; null: never",
        json_schema_extra={"unit": "epochs"},
    )


class OptimOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The optimizer and its schedule."""

    name: Literal["adamw", "adam"] = Field(
        "adamw", description="optimizer", json_schema_extra={"unit": "name"}
    )
    lr: float = Field(
        1e-3,
        gt=0,
        le=10,
        description="learning rate after warm-up",
        json_schema_extra={"unit": "per step"},
    )
    weight_decay: float = Field(
        0.01,
        ge=0,
        le=10,
        description="decoupled for adamw, in the gradient for adam",
        json_schema_extra={"unit": "per step"},
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="cosine: falls to zero at the last step",
        json_schema_extra={"unit": "name"},
    )
    warmup_epochs: float = Field(
        1.0,
        ge=0,
        description="linear rise of the learning rate from zero",
        json_schema_extra={"unit": "epochs"},
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        description="gradients longer than this are shortened; null: never",
        json_schema_extra={"unit": "L2 norm"},
    )


WITHIN = r"^[1-9]\d{0,6} ?(steps|s|min)$"


class CheckpointOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """When checkpoints are written and which are kept."""

    every: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=WITHIN)] = Field(
        1,
        description="epochs; or within them, too: `200 steps`, `30 s`, `5 min`",
        json_schema_extra={"unit": "epochs, steps or time"},
    )
    keep: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        2,
        description="how many of the best are kept beside the latest; or all",
        json_schema_extra={"unit": "checkpoints"},
    )

    @property
    def epochs(self) -> int:
        """Epochs between checkpoints at their ends; the last epoch always has one."""
        return self.every if isinstance(self.every, int) else 1

    @property
    def steps(self) -> int | None:
        """Steps between checkpoints inside an epoch, if it is steps that count."""
        return self._within("steps", 1)

    @property
    def seconds(self) -> int | None:
        """Seconds between checkpoints inside an epoch, if it is time that counts."""
        return self._within("s", 1) or self._within("min", 60)

    def _within(self, unit: str, factor: int) -> int | None:
        number = str(self.every).removesuffix(unit).strip()
        return int(number) * factor if number.isdigit() and isinstance(self.every, str) else None


class RunOptions(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Where a run lives; its name is its identity."""

    storage: str = Field(
        "runs",
        min_length=1,
        description="folder of runs; each run gets one below it",
        json_schema_extra={"unit": "URI"},
    )
    name: str = Field(
        "run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="an unfinished run of this name is resumed, a finished one refused",
        json_schema_extra={"unit": "name"},
    )
    start_from: str | None = Field(
        None,
        description="a checkpoint of another run to start from, with its epochs and optimizer",
        json_schema_extra={"unit": "URI"},
    )

"""How a run trains: the loop, its optimizer, its checkpoints."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rayograph.config.base import Options

LAST = "last"  # the leader that is no metric
SHARE, NUMBER = r"(0?\.\d*[1-9]\d*|1(\.0+)?)", r"(0?\.\d*[1-9]\d*|[1-9]\d*(\.\d+)?)"
POINT = rf"^(youden|(sensitivity|specificity)={SHARE}|cost={NUMBER})$"


class TrainOptions(Options):
    """How long, in what batches, and by what measure a run trains."""

    epochs: int = Field(10, ge=1, le=10_000)
    """passes over the training films [epochs]"""

    batch_size: int = Field(32, ge=2, le=65_536)
    """films per optimizer step, over all workers [films]"""

    micro_batch: int | None = Field(None, ge=1)
    """films per forward pass and batch norm of a worker, to save memory; null: all [films]"""

    seed: int = Field(0, ge=0)
    """of weights, order, augmentation and dropout [seed]"""

    precision: Literal["auto", "float32", "bf16"] = "auto"
    """of forward and backward passes; auto: bf16 autocast on GPUs that support it, and on CPUs with
    AMX for models that gain by it; else float32; kept by the run once chosen [name]"""

    head_epochs: int = Field(0, ge=0)
    """epochs that train the last layer only, as long as the rest are, before the backbone joins;
    1 spares weights from elsewhere the steps of a random last layer [epochs]"""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a film's loss is weighted by its class's inverse frequency; of several labels, what
    is present by absent / present [name]"""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """part of a label that is spread evenly over all classes, of several labels over present and
    absent; 0.1 makes a model less sure where labels are noisy (arXiv:1512.00567) [fraction]"""

    select: str = Field("val_auroc", pattern=r"^val_[a-z0-9_]+$")
    """metric that chooses the best epoch: val_auroc, val_loss, …; not every task has all of them
    [metric]"""

    final: Literal["best", "last"] = "best"
    """epoch whose weights become the model: the best by `select`; or the last, where the schedule
    ends, which is safer where all epochs look alike on the validation films [name]"""

    stress: bool = False
    """also give val_stress: the worst balanced accuracy (of several labels the worst mean AUROC) of
    the validation films stretched and squeezed by a fifth, nearer and farther, darker and lighter;
    takes eight validations more an epoch; it tells recipes apart that plain validation does not,
    but was devised after seeing test films of one collection [true or false]"""

    operating_point: str = Field("youden", pattern=POINT)
    """how the probability from which a film counts as positive is chosen on the validation films:
    youden, sensitivity=0.95, specificity=0.95, or cost=10 (what a miss costs, in false
    alarms) [rule]"""

    watch: tuple[Literal["test"], ...] = Field((), max_length=1)
    """splits that are judged after every epoch, too, beside the validation films: [test], or none.
    Exploratory: they choose nothing, and each epoch is recorded as a look at them [splits]"""

    on_nan: Literal["stop", "skip", "restore"] = "stop"
    """if a loss is not a finite number: stop; skip the step; or restore the last checkpoint's
    weights and skip the step [name]"""

    patience: int | None = Field(None, ge=1)
    """stop after this many epochs without a better one; null: never [epochs]"""

    @property
    def leader(self) -> str:
        """What the epoch that becomes the model has most of: a metric, or `last`."""
        return LAST if self.final == "last" else self.select

    @model_validator(mode="after")
    def _fitting(self) -> "TrainOptions":
        if self.select == "val_stress" and not self.stress:
            raise ValueError("select=val_stress: only train.stress=true gives it; add that")
        if self.final == "last" and self.patience is not None:
            raise ValueError(f"patience={self.patience}: nothing is waited for with final=last")
        return self


class OptimOptions(Options):
    """The optimizer and its schedule."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """optimizer; sgd wants a learning rate some 10 to 100 times as high [name]"""

    lr: float = Field(1e-3, gt=0, le=10)
    """learning rate after warm-up [per step]"""

    weight_decay: float = Field(0.01, ge=0, le=10)
    """decoupled for adamw, in the gradient for adam and sgd [per step]"""

    momentum: float = Field(0.9, ge=0, lt=1)
    """Nesterov's momentum; 0: none (sgd only) [part kept per step]"""

    backbone_lr: float = Field(1.0, gt=0, le=1)
    """learning rate of everything but the last layer, as a part of `lr`; 0.1 keeps more of weights
    from elsewhere where films are few [fraction]"""

    schedule: Literal["cosine", "constant"] = "cosine"
    """cosine: falls to zero at the last step [name]"""

    warmup_epochs: float = Field(1.0, ge=0)
    """linear rise of the learning rate from zero [epochs]"""

    clip_norm: float | None = Field(None, gt=0)
    """longer gradients are shortened to this; null: never [L2 norm]"""


WITHIN = r"^[1-9]\d{0,6} ?(steps|s|min)$"


class CheckpointOptions(Options):
    """When checkpoints are written and which are kept."""

    every: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=WITHIN)] = 1
    """epochs; or also inside epochs: `200 steps`, `30 s`, `5 min` [epochs, steps or time]"""

    keep: Annotated[int, Field(ge=1)] | Literal["all"] = 2
    """how many of the best are kept beside the latest; or all [checkpoints]"""

    @property
    def epochs(self) -> int:
        """Epochs between checkpoints at their ends; the last epoch always has one."""
        return self.every if isinstance(self.every, int) else 1

    @property
    def steps(self) -> int | None:
        """Steps between checkpoints inside an epoch, if steps are counted."""
        return self._within("steps", 1)

    @property
    def seconds(self) -> int | None:
        """Seconds between checkpoints inside an epoch, if time is measured."""
        return self._within("s", 1) or self._within("min", 60)

    def _within(self, unit: str, factor: int) -> int | None:
        number = str(self.every).removesuffix(unit).strip()
        return int(number) * factor if number.isdigit() and isinstance(self.every, str) else None

"""What each command reads: a config composed of the groups that it needs."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from rayograph.config.augment import AugmentOptions
from rayograph.config.cluster import ClusterOptions
from rayograph.config.data import DataOptions, PhantomOptions
from rayograph.config.evaluate import EvaluateOptions
from rayograph.config.labels import LabelOptions
from rayograph.config.mlflow import MlflowOptions
from rayograph.config.model import ModelOptions
from rayograph.config.pack import PackOptions, SourceOptions
from rayograph.config.run import RunOptions
from rayograph.config.sweep import SweepOptions
from rayograph.config.train import CheckpointOptions, OptimOptions, TrainOptions
from rayograph.config.tree import Config


class PackConfig(Config):
    """What packing reads."""

    command: ClassVar[str] = "rayograph pack"
    pack: PackOptions = PackOptions()


class PredictConfig(Config):
    """What the prediction of new films reads, beside the model's own recipe."""

    command: ClassVar[str] = "rayograph predict"
    pack: SourceOptions = SourceOptions()


class RunConfig(Config):
    """Everything that can be chosen about a run."""

    command: ClassVar[str] = "rayograph train"
    run: RunOptions = Field(default_factory=RunOptions)  # absolute paths of the present folder
    data: DataOptions = DataOptions()
    phantom: PhantomOptions = PhantomOptions()
    augment: AugmentOptions = AugmentOptions()
    labels: LabelOptions = LabelOptions()
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    optim: OptimOptions = OptimOptions()
    checkpoint: CheckpointOptions = CheckpointOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    cluster: ClusterOptions = ClusterOptions()
    mlflow: MlflowOptions = MlflowOptions()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        size, workers = self.train.batch_size, self.cluster.most
        if size < 2 * workers:
            raise ValueError(
                f"train.batch_size={size} is too small for cluster.workers={workers}: a worker "
                f"needs 2 films a step; use at least {2 * workers}, or fewer workers"
            )
        gpus = self.cluster.gpus_per_worker
        if self.model.norm == "sync" and not gpus:
            raise ValueError("model.norm=sync needs GPUs; use model.norm=group on CPUs")
        if self.model.norm == "sync" and self.train.micro_batch:
            raise ValueError(
                "train.micro_batch and model.norm=sync exclude each other: workers "
                "with uneven shares would make different numbers of passes; use model.norm=group"
            )
        if 0 < gpus < 1 < workers:
            raise ValueError(
                f"cluster.gpus_per_worker={gpus:g}: a part of a GPU is for one worker;"
                " several need a GPU each"
            )
        return self

    @model_validator(mode="after")
    def _backbone_trains(self) -> Self:
        """There is a backbone to train where options say how."""
        epochs, late = self.train.epochs, self.train.head_epochs
        if self.model.freeze_backbone and (late or self.optim.backbone_lr != 1):
            raise ValueError(
                "model.freeze_backbone=true trains the last layer only; leave out "
                "train.head_epochs and optim.backbone_lr"
            )
        if late >= epochs:
            raise ValueError(
                f"train.head_epochs={late} leaves the backbone none of train.epochs={epochs}; use "
                "fewer, or model.freeze_backbone=true"
            )
        return self

    def settled(self) -> Self:
        """The config with what `model.norm=auto` means on these machines in its place."""
        if self.model.norm != "auto":
            return self
        several = self.cluster.gpus_per_worker > 0 and self.cluster.most > 1
        sync = several and not self.train.micro_batch  # which exclude each other
        model = self.model.model_copy(update={"norm": "sync" if sync else "batch"})
        return self.model_copy(update={"model": model})

    def in_precision(self, precision: Literal["auto", "float32", "bf16"]) -> Self:
        """The same in another `train.precision`."""
        train = self.train.model_copy(update={"precision": precision})
        return self.model_copy(update={"train": train})


class SweepConfig(RunConfig):
    """A run, and how a sweep varies it."""

    command: ClassVar[str] = "rayograph sweep"
    sweep: SweepOptions = SweepOptions()

    @model_validator(mode="after")
    def _unseen(self) -> Self:
        if self.train.watch:
            raise ValueError(
                f"train.watch=[{', '.join(self.train.watch)}]: a sweep chooses among its trials, "
                "which must not see these films; use train.watch=[], and watch a plain run"
            )
        return self

    def of_trials(self) -> RunConfig:
        """What the trials share."""
        return RunConfig.parse(self.model_dump(exclude={"sweep"}))

"""What each command reads: a config composed of the groups that it needs."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from rayograph.config.augment import AugmentOptions
from rayograph.config.cluster import ClusterOptions
from rayograph.config.data import DataOptions, PhantomOptions
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


class SweepConfig(RunConfig):
    """A run, and how a sweep varies it."""

    command: ClassVar[str] = "rayograph sweep"
    sweep: SweepOptions = SweepOptions()

    def of_trials(self) -> RunConfig:
        """What the trials share."""
        return RunConfig.parse(self.model_dump(exclude={"sweep"}))

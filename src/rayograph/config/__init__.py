"""The options: a file a subject, and for each command a config composed of those it reads."""

from rayograph.config.augment import AugmentOptions
from rayograph.config.cluster import ClusterOptions
from rayograph.config.commands import PackConfig, PredictConfig, RunConfig, SweepConfig
from rayograph.config.data import DataOptions, PhantomOptions
from rayograph.config.evaluate import EvaluateOptions
from rayograph.config.labels import LabelOptions
from rayograph.config.mlflow import MlflowOptions
from rayograph.config.model import TIMM, ModelOptions, is_place
from rayograph.config.pack import PackOptions, SourceOptions
from rayograph.config.run import RunOptions
from rayograph.config.sweep import SweepOptions
from rayograph.config.train import LAST, CheckpointOptions, OptimOptions, TrainOptions
from rayograph.config.tree import Config

__all__ = [
    "LAST",
    "TIMM",
    "AugmentOptions",
    "CheckpointOptions",
    "ClusterOptions",
    "Config",
    "DataOptions",
    "EvaluateOptions",
    "LabelOptions",
    "MlflowOptions",
    "ModelOptions",
    "OptimOptions",
    "PackConfig",
    "PackOptions",
    "PhantomOptions",
    "PredictConfig",
    "RunConfig",
    "RunOptions",
    "SourceOptions",
    "SweepConfig",
    "SweepOptions",
    "TrainOptions",
    "is_place",
]

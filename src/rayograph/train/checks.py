"""What can be known to be wrong with a run before anything is started."""

import logging

import torch

from rayograph import task
from rayograph.config import RunConfig
from rayograph.data import order, transforms
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError, one_line
from rayograph.models.build import build, check, check_weights
from rayograph.runs.checkpoint import Progress
from rayograph.runs.folder import RunFolder
from rayograph.train.features import MOST_BYTES
from rayograph.train.feed import features_bytes

FEW = 8  # films of a worker's usual share; from there up none is of a single film
log = logging.getLogger("rayograph.checks")


def check_run(config: RunConfig, dataset: Dataset) -> None:
    """Raise `UserError` where the dataset cannot be trained on as the options say.

    Weights are read and fitted, and what of them is not taken is logged in a line.
    """
    dataset = dataset.at_fold(config.data.fold)
    absent = [n for n, counts in dataset.split("train").labels.items() if not counts.present]
    if absent:  # of a fold; `pack` looks at all of them together
        raise UserError(
            f"{dataset.uri}: {one_line(', '.join(absent))} never occurs in training with "
            f"data.fold={config.data.fold}; pack fewer folds, or leave it out"
        )
    _check_views(config, dataset)
    for split in config.train.watch:
        if split not in dataset.splits or not dataset.split(split).rows:
            raise UserError(
                f"train.watch=[{split}]: {dataset.uri} has no {split} films; "
                f"it has {', '.join(dataset.splits)}; use train.watch=[]"
            )
    spec = dataset.transform(config.data, config.evaluate)
    shape = spec.shape
    check(config.model, shape)
    task.check_select(config.train.select, dataset.task, config.train.stress)
    if config.train.stress and not transforms.build(spec).stressed():
        raise UserError(
            f"train.stress=true: {dataset.uri} has no films, whose form and tone could be changed; "
            "leave it out"
        )
    if told := check_weights(config.model, shape, dataset.task.outputs):
        log.warning(told)
    _check_single_films(config, dataset, shape)
    _check_features(config, dataset)
    if config.run.start_from and RunFolder.of(config).latest() is None:
        Progress.of(config.run.start_from, dataset.manifest.fingerprint)


def _check_views(config: RunConfig, dataset: Dataset) -> None:
    views = config.evaluate.views
    if views != "whole" and dataset.transform(config.data, config.evaluate).passes == 1:
        raise UserError(
            f"evaluate.views={views}: {dataset.uri} has records, which have no crops; leave it out"
        )


def _check_features(config: RunConfig, dataset: Dataset) -> None:
    """Say where a frozen model's features are too many to be kept."""
    if not config.model.freeze_backbone:
        return
    spec = dataset.transform(config.data, config.evaluate)
    options = config.model.model_copy(update={"weights": None})
    with torch.device("meta"):
        model = build(options, spec.shape, dataset.task.outputs)
    size = features_bytes(config, dataset, model, transforms.build(spec, config.augment))
    if size is not None and size > MOST_BYTES:
        log.warning(
            "model.freeze_backbone: the films' features would take %d MB, and %d MB are kept at "
            "most; they are computed in each epoch", size // 10**6, MOST_BYTES // 10**6,
        )  # fmt: skip


def _check_single_films(config: RunConfig, dataset: Dataset, shape: tuple[int, ...]) -> None:
    """A worker's share of one film, which batch norm refuses where one value a channel is left."""
    train, world = config.train, config.cluster.most
    micro = train.micro_batch or train.batch_size
    if min(micro, train.batch_size // world) >= FEW:
        return
    rows, fingerprint = dataset.split("train").batch_rows, dataset.manifest.fingerprint
    plan = order.plan(rows, train.batch_size, fingerprint, train.seed, epoch=0)
    shares = {len(plan.share(s, rank, world)) for s in range(plan.steps) for rank in range(world)}
    if not any(share % micro == 1 or micro == 1 for share in shares if share):
        return
    options = config.model.model_copy(update={"weights": None})
    with torch.device("meta"):
        model = build(options, shape, dataset.task.outputs).train()
        try:
            model(torch.zeros(1, *shape))
        except ValueError:
            raise UserError(
                f"train.batch_size={train.batch_size}: a worker of {world} gets a single film in "
                f"some steps, and {options.name} leaves one value a channel of {shape[-1]} pixels, "
                "of which batch norm makes nothing; use model.norm=group, larger batches or films"
            ) from None

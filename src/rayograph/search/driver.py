"""The driver's side of a sweep: Ray Tune around the trials, the ledger kept."""

import os
import random
from typing import Any

import ray
from ray import tune

from rayograph import storage
from rayograph.cluster import ray_internals
from rayograph.config import ClusterOptions, MlflowOptions, RunConfig, SweepConfig
from rayograph.errors import UserError
from rayograph.search import optuna, proposals
from rayograph.search import space as spaces
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import name_of
from rayograph.search.ledger_callback import LedgerCallback
from rayograph.search.messages import TrialsJob
from rayograph.search.space import Space
from rayograph.search.stopper import SweepStopper
from rayograph.search.trial import run_trial
from rayograph.train.stops import Listen

RETRIES = 2  # starts again after a lost process
SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run folders say it all
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that failed has no score
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see `SweepStopper`
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def search(
    config: SweepConfig,
    space: Space,
    folder: SweepFolder,
    dataset: str,
    callback: LedgerCallback,
    stopper: SweepStopper,
    listen: Listen,
) -> None:
    """Run the sweep's trials on the cluster that Ray is connected to.

    Trials that have ended are not repeated, unfinished ones go on from their checkpoints.
    """
    _set_environment(config)
    tuner = _tuner(config, space, folder, dataset, callback, stopper)
    with stopper.watching(listen):
        tuner.fit()
    ledger = callback.ledger
    for trial in ledger.trials.values():
        if trial.state == "running":
            trial.state = "waiting"
    ledger.touch()
    ledger.save(now=True)


def _set_environment(config: SweepConfig) -> None:
    os.environ.update(SETTINGS)
    shared = set()
    if config.cluster.most > 1:  # Ray Train's processes ask the state API of the right Ray
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        shared = {"RAY_ADDRESS"}
    ray_internals.share_with_trials(shared)
    random.seed(config.sweep.seed)  # from which pbt draws


def _tuner(
    config: SweepConfig,
    space: Space,
    folder: SweepFolder,
    dataset: str,
    callback: LedgerCallback,
    stopper: SweepStopper,
) -> tune.Tuner:
    alone, ledger = config.cluster.most == 1, callback.ledger
    searcher: proposals.Proposals | None = None
    params: dict[str, Any] | None = None
    if config.sweep.searcher == "optuna":
        search = optuna.proposer(space, ledger, config.sweep.seed)
        searcher = proposals.Proposals(callback, search, spaces.trials(space, config))
    else:
        params = {"point": tune.grid_search(proposals.specs(config, space, callback))}
    job = TrialsJob(_shared(config, folder, dataset), config.sweep.scheduler == "pbt")
    trainable = tune.with_parameters(run_trial, job=job)
    return tune.Tuner(
        tune.with_resources(trainable, _resources(config.cluster)),
        param_space=params,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=proposals.scheduler(config, space, folder, ledger),
            num_samples=-1 if searcher else 1,
            max_concurrent_trials=None if alone else _at_once(config, space),
            reuse_actors=alone,
            trial_name_creator=lambda trial: name_of(trial.config["point"]["number"]),
            trial_dirname_creator=lambda trial: name_of(trial.config["point"]["number"]),
        ),
        run_config=_run(folder, callback, stopper),
    )


def _run(folder: SweepFolder, callback: LedgerCallback, stopper: SweepStopper) -> tune.RunConfig:
    filesystem, path = storage.filesystem(folder.uri)
    return tune.RunConfig(
        name="tune",
        storage_path=path,
        storage_filesystem=filesystem,
        failure_config=tune.FailureConfig(max_failures=RETRIES),
        stop=stopper,
        callbacks=[callback],
        verbose=0,
    )


def _at_once(config: SweepConfig, space: Space) -> int:
    """How many trials of several workers run together; `UserError` where pbt needs more."""
    found, total = capacity(config.cluster), spaces.trials(space, config)
    if config.sweep.scheduler == "pbt" and found < total:
        raise UserError(
            f"sweep.max_trials={total}: pbt needs all its trials side by side, and the cluster has "
            f"room for {found} of cluster.workers={config.cluster.most}; give fewer trials, "
            "or one worker each, which take turns"
        )
    return found


def capacity(options: ClusterOptions) -> int:
    """How many trials the cluster can run at once; at least one, which then waits for machines."""
    have: dict[str, float] = ray.cluster_resources()
    needs = {"CPU": options.cpus_per_worker, "GPU": options.gpus_per_worker}
    room = [have.get(k, 0) / (options.most * each) for k, each in needs.items() if each]
    return max(1, int(min(room)))


def _shared(config: SweepConfig, folder: SweepFolder, dataset: str) -> RunConfig:
    """The config that all trials share: their runs lie below the sweep, on the same dataset."""
    update: dict[str, Any] = {
        "run": config.run.model_copy(update={"storage": folder.trials}),
        "data": config.data.model_copy(update={"uri": dataset}),
        "mlflow": MlflowOptions(),  # the driver tells the server of them
    }
    if config.sweep.scheduler == "pbt":  # what is handed over must not be pruned meanwhile
        update["checkpoint"] = config.checkpoint.model_copy(update={"keep": "all"})
    return config.of_trials().model_copy(update=update)


def _resources(options: ClusterOptions) -> Any:
    if options.most > 1:  # the Ray Train run inside asks for its own
        return tune.PlacementGroupFactory([{"memory": 100 * 2**20}])
    return {"cpu": options.cpus_per_worker, "gpu": options.gpus_per_worker}

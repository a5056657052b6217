"""The driver's side of a sweep: Ray Tune around the trials, the ledger kept."""

import os
import random
from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune.execution import class_cache

from rayograph import storage
from rayograph.config import ClusterOptions, RunConfig, SweepConfig
from rayograph.errors import UserError
from rayograph.search import learn, proposals
from rayograph.search import space as spaces
from rayograph.search.folder import SweepFolder
from rayograph.search.keeper import Keeper, Stop
from rayograph.search.ledger import Ledger, Trial, name_of
from rayograph.search.space import Space
from rayograph.search.trial import trial as run_trial

RETRIES = 2  # starts again after a lost process
SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run folders say it all
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that failed has no score
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see `Stop`
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
SECRETS = {  # which Tune would put into the cluster's records of every trial
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
}


def search(
    config: SweepConfig,
    space: Space,
    folder: SweepFolder,
    ledger: Ledger,
    dataset: str,
    stop: Stop,
    changed: Callable[[Trial], None],
) -> None:
    """Run the sweep's trials on the cluster that Ray is connected to, keeping the ledger.

    Trials that have ended are not repeated, unfinished ones go on from their checkpoints. `changed`
    hears of each change of a trial.
    """
    alone, total = config.cluster.most == 1, spaces.trials(space, config)
    at_once = capacity(config.cluster)
    if config.sweep.scheduler == "pbt" and not alone and at_once < total:
        raise UserError(
            f"sweep.max_trials={total}: pbt needs all its trials side by side, and the cluster has "
            f"room for {at_once} of cluster.workers={config.cluster.most}; give fewer trials, "
            "or one worker each, which take turns"
        )
    os.environ.update(SETTINGS)
    if not alone:  # Ray Train's processes ask the state API, and must find the right Ray
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        class_cache.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(SECRETS)
    random.seed(config.sweep.seed)  # from which pbt draws
    keeper = Keeper(ledger, folder, config, stop, changed)
    filesystem, path = storage.filesystem(folder.uri)
    shared = _shared(config, folder, dataset)
    job = {
        "config": shared.model_dump(mode="json"),
        "hands_over": config.sweep.scheduler == "pbt",
    }
    searcher: proposals.Proposals | None = None
    given: list[dict[str, Any]] | None = None
    if config.sweep.searcher == "optuna":
        optuna = learn.proposer(space, ledger, config.sweep.seed)
        searcher = proposals.Proposals(keeper, optuna, total)
    else:
        given = proposals.points(config, space, keeper)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, job=job), _resources(config.cluster)),
        param_space=None if given is None else {"point": tune.grid_search(given)},
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=proposals.scheduler(config, space, folder, ledger),
            num_samples=-1 if searcher else 1,
            max_concurrent_trials=None if alone else at_once,
            reuse_actors=alone,
            trial_name_creator=lambda trial: name_of(trial.config["point"]["number"]),
            trial_dirname_creator=lambda trial: name_of(trial.config["point"]["number"]),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
            stop=stop,
            callbacks=[keeper],
            verbose=0,
        ),
    )
    with stop.listening():
        tuner.fit()
    for trial in ledger.trials.values():
        if trial.state == "running":
            trial.state = "waiting"
    ledger.touch()
    ledger.save(now=True)


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
    }
    if config.sweep.scheduler == "pbt":  # what is handed over must not be pruned meanwhile
        update["checkpoint"] = config.checkpoint.model_copy(update={"keep": "all"})
    return config.of_trials().model_copy(update=update)


def _resources(options: ClusterOptions) -> Any:
    if options.most > 1:  # the Ray Train run inside asks for its own
        return tune.PlacementGroupFactory([{"memory": 100 * 2**20}])
    return {"cpu": options.cpus_per_worker, "gpu": options.gpus_per_worker}

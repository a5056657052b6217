"""Who proposes trials, and who decides how long they last: Tune's and optuna's own, set up."""

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from rayograph.config import SweepConfig
from rayograph.runs import history
from rayograph.search import space as spaces
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Ledger, Trial
from rayograph.search.ledger_callback import LedgerCallback
from rayograph.search.messages import TrialSpec
from rayograph.search.space import LISTS, Space


def specs(config: SweepConfig, space: Space, callback: LedgerCallback) -> list[TrialSpec]:
    """What Tune hands to the trials of a grid or a random search: all that have not ended."""
    trials, total = callback.ledger.trials, spaces.trials(space, config)
    for number in range(len(trials), total):
        callback.new(space.point(number, config.sweep.seed))
    return [spec(trial) for trial in callback.ledger.left(total)]


def spec(trial: Trial) -> TrialSpec:
    """What Tune hands to a trial."""
    return {"number": trial.number, "params": trial.params, "run": trial.run}


def scheduler(
    config: SweepConfig, space: Space, folder: SweepFolder, ledger: Ledger
) -> TrialScheduler:
    """Tune's scheduler of that name; ASHA's knows what an earlier start has seen."""
    sweep = config.sweep
    if sweep.scheduler == "asha":
        longest = max([config.train.epochs, *_epochs(space)])
        return ResumableAsha(
            _past(folder, ledger, config.train.select),
            time_attr="epoch",
            max_t=longest,
            grace_period=min(sweep.grace, longest),
            reduction_factor=sweep.reduction,
        )
    if sweep.scheduler == "pbt":
        return PopulationBasedTraining(
            metric="score",
            mode="max",
            time_attr="epoch",
            perturbation_interval=sweep.perturb_every,
            hyperparam_mutations={"point": {"params": _mutations(space)}},
            custom_explore_fn=lambda config: _clipped(config, space),
            require_attrs=False,  # a trial's last word has no score
            log_config=False,
        )
    return FIFOScheduler()


class Proposals(Searcher):
    """Unfinished trials first, then optuna's proposals, until there are as many as wanted."""

    def __init__(self, callback: LedgerCallback, optuna: OptunaSearch, total: int) -> None:
        super().__init__(metric="score", mode="max")
        self._callback = callback
        self._optuna = optuna
        self._total = total
        self._waiting = callback.ledger.left(total)
        self._trials: dict[str, Trial] = {}
        self._asked: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """The next trial's config."""
        if self._waiting:
            trial = self._waiting.pop(0)
        elif len(self._callback.ledger.trials) < self._total:
            params = self._optuna.suggest(trial_id)
            assert params is not None, "optuna proposed nothing"
            trial = self._callback.new(params)
            self._asked.add(trial_id)
        else:
            return Searcher.FINISHED
        self._trials[trial_id] = trial
        return {"point": spec(trial)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell optuna a trial's best score."""
        trial = self._trials[trial_id]
        value = {"score": trial.best.score} if trial.best else None
        if trial_id in self._asked:
            self._optuna.on_trial_complete(trial_id, value, error=error or value is None)
        elif value:
            self._optuna.add_evaluated_point(trial.params, value["score"])


class ResumableAsha(AsyncHyperBandScheduler):
    """ASHA whose rungs also know the epochs of an earlier start."""

    def __init__(self, past: list[tuple[Trial, list[dict[str, Any]]]], **options: Any) -> None:
        super().__init__(metric="score", mode="max", **options)
        self._unfinished = {t.name: rows for t, rows in past if t.state == "waiting"}
        for trial, rows in past:
            if trial.state != "waiting":
                self._take_in(None, SimpleNamespace(trial_id=trial.name), rows)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Take a trial in, with the epochs that it has behind it."""
        self._take_in(tune_controller, trial, self._unfinished.get(str(trial), []))

    def _take_in(self, controller: Any, trial: Any, rows: list[dict[str, Any]]) -> None:
        super().on_trial_add(controller, trial)
        for row in rows:
            self.on_trial_result(controller, trial, row)


def _past(
    folder: SweepFolder, ledger: Ledger, select: str
) -> list[tuple[Trial, list[dict[str, Any]]]]:
    """The epochs and scores of every trial that has some.

    An unfinished one tells its last epoch again, which may not have been judged.
    """
    found = []
    for trial in ledger.trials.values():
        rows = folder.rows(trial) if trial.epoch else []
        scores = [{"epoch": row["epoch"], "score": history.score(row, select)} for row in rows]
        found.append((trial, scores[:-1] if trial.state == "waiting" else scores))
    return found


def _epochs(space: Space) -> list[int]:
    domain = space.domains.get("train.epochs")
    return [int(value) for value in domain.probes()] if domain else []


def _mutations(space: Space) -> dict[str, Any]:
    return {
        key: list(domain.values) if domain.kind in LISTS else domain.tune()
        for key, domain in space.domains.items()
    }


def _clipped(config: dict[str, Any], space: Space) -> dict[str, Any]:
    """Perturbed parameters, brought back into their domains."""
    params = config["point"]["params"]
    for key, domain in space.domains.items():
        params[key] = domain.clip(params[key])
    return config

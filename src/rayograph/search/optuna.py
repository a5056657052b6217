"""What optuna does here: it proposes trials, and says which parameters mattered."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from ray.tune.search.optuna import OptunaSearch

from rayograph.search.ledger import Ledger
from rayograph.search.space import Space

ENOUGH = 4  # trials, below which importance is noise


def proposer(space: Space, ledger: Ledger, seed: int) -> OptunaSearch:
    """A TPE search that knows the trials that have ended."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # the same seed would propose the first trials again after a restart
    sampler = optuna.samplers.TPESampler(seed=seed + len(ledger.trials))
    search = OptunaSearch(_distributions(space), metric="score", mode="max", sampler=sampler)
    for trial in ledger.trials.values():
        if trial.best and trial.state != "waiting":
            search.add_evaluated_point(trial.best.params, trial.best.score)
    return search


def importance(space: Space, ledger: Ledger) -> dict[str, float]:
    """Each parameter's share in the spread of the trials' best scores, by optuna's fANOVA.

    Empty where fewer than four trials have a score, or all have the same.
    """
    scored = [(t.best.params, t.best.score) for t in ledger.trials.values() if t.best]
    if len(scored) < ENOUGH or len({score for _, score in scored}) == 1:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for params, score in scored:
        study.add_trial(
            optuna.create_trial(params=params, distributions=_distributions(space), value=score)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(share) for key, share in found.items()}


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    domains: dict[str, Any] = {key: domain.tune() for key, domain in space.domains.items()}
    return OptunaSearch.convert_search_space(domains)

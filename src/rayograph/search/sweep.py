"""A sweep from its space to its winner."""

import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from rayograph import storage
from rayograph.cluster import launch, session
from rayograph.config import SweepConfig
from rayograph.config.documents import text
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError
from rayograph.pack import prepare
from rayograph.runs.folder import RunFolder
from rayograph.search import driver, optuna, tracked
from rayograph.search import space as spaces
from rayograph.search.folder import SweepFolder
from rayograph.search.folds import CrossValidation, cross_validations
from rayograph.search.ledger import ENDED, Ledger, Trial
from rayograph.search.ledger_callback import LedgerCallback
from rayograph.search.space import Space
from rayograph.search.stopper import SweepStopper
from rayograph.train import places
from rayograph.train.checks import check_run
from rayograph.train.stops import Listen


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `signal` is the one that stopped it, `importance` is by parameter."""

    folder: SweepFolder
    ledger: Ledger
    winner: Trial | None
    command: str | None
    importance: dict[str, float]
    signal: int | None
    unfinished: int

    @property
    def best_model(self) -> str | None:
        """The winner's model file."""
        return RunFolder(self.folder.best).best_model if self.winner else None

    def folds(self, select: str) -> list[CrossValidation]:
        """Of a sweep over folds each set of options, the best first."""
        return cross_validations(self.ledger.trials.values(), select)

    def to_json(self, select: str) -> dict[str, Any]:
        """What `sweep --json` prints; the trials best first."""
        spent, whole = self.ledger.cost()
        return {
            "sweep": self.folder.uri,
            "select": select,
            "trials": [t.model_dump() | {"trial": t.name} for t in self.ledger.ranked()],
            "worker_seconds": {"spent": round(spent, 1), "to_the_end": round(whole, 1)},
            "importance": self.importance,
            "cross_validation": [each.to_json() for each in self.folds(select)],
            "winner": self.winner and self.winner.name,
            "best_model": self.best_model,
            "command": self.command,
            "page": self.folder.page,
        }


class Screen(Protocol):
    """Where people see the sweep."""

    def tell(self, text: str) -> None:
        """Show a line."""

    def over(self, ledger: Ledger, at_once: int) -> AbstractContextManager[None]:
        """Show this ledger within a block; `at_once` trials find room together."""

    def changed(self, trial: Trial) -> None:
        """Hear of a trial's change."""


def run(
    config: SweepConfig, space: Space, words: Sequence[str], screen: Screen, listen: Listen
) -> Outcome:
    """Search, go on with a search, or look at one that has ended; publish the best so far.

    `words` are the preset and the overrides that the sweep was asked for. Raises `UserError` for
    whatever can be known to be wrong before a cluster is asked for.
    """
    space = spaces.check(space, config)
    one = spaces.first_read(space, config)
    places.check(one)
    dataset = prepare.dataset(one)
    check_run(one, dataset)
    spaces.check_runs(space, one, dataset)
    with storage.held(SweepFolder.of(config, space).uri, "sweep"):
        return _searched(config, space, words, dataset, screen, listen)


def _searched(
    config: SweepConfig,
    space: Space,
    words: Sequence[str],
    dataset: Dataset,
    screen: Screen,
    listen: Listen,
) -> Outcome:
    """The search itself, once all is checked and no other driver has the folder."""
    folder = SweepFolder.of(config, space)
    folder.begin(config, space)
    ledger, stopper = folder.ledger(config), SweepStopper(config.sweep.max_time)
    total = spaces.trials(space, config)
    ended = sum(trial.state in ENDED for trial in ledger.trials.values())
    screen.tell(f"sweep: {folder.uri}, {max(total, ended)} trials, {ended} ended before")
    fingerprint = dataset.manifest.fingerprint
    with tracked.followed(config, space, folder, ledger, fingerprint) as follow:
        if _unfinished(ledger, total):

            def changed(trial: Trial) -> None:
                screen.changed(trial)
                follow(trial)

            callback = LedgerCallback(ledger, folder, config, stopper, changed)
            _on_cluster(
                config, ledger, screen,
                partial(
                    driver.search, config, space, folder, dataset.uri, callback, stopper, listen
                ),
            )  # fmt: skip
    winner = ledger.winner()
    command = None
    if winner is not None:
        assert winner.best is not None
        run = RunFolder(storage.join(folder.trials, winner.best.run))
        command = repeats(winner, space, words, config, run.config().train.precision)
        folder.publish(winner, command)
    return Outcome(
        folder=folder,
        ledger=ledger,
        winner=winner,
        command=command,
        importance=optuna.importance(space, ledger),
        signal=stopper.signal,
        unfinished=_unfinished(ledger, total),
    )


def _on_cluster(
    config: SweepConfig, ledger: Ledger, screen: Screen, search: Callable[[], None]
) -> None:
    """Connect to one, say what it lacks, and search there, shown meanwhile."""
    workers = config.cluster.most
    with session.connected(workers * config.cluster.cpus_per_worker, workers > 1):
        if missing := launch.missing(config.cluster):
            screen.tell(missing)
        with screen.over(ledger, driver.capacity(config.cluster)):
            search()


def _unfinished(ledger: Ledger, total: int) -> int:
    """How many trials are to be run yet, of `total` that are wanted."""
    return len(ledger.left(total)) + max(0, total - len(ledger.trials))


def repeats(
    winner: Trial, space: Space, words: Sequence[str], config: SweepConfig, precision: str
) -> str | None:
    """The command line that trains the winner as a plain run; none if it took over weights.

    `precision` is what the winner's `train.precision` came to, so that another machine keeps it.
    """
    if winner.best is None or winner.best.run != winner.name:
        return None
    preset, *given = words
    run = f"{config.run.name}-{space.name}-winner"
    places = [f"run.storage={config.run.storage}", f"run.name={run}"]
    if config.data.uri != "phantom":
        places.append(f"data.uri={config.data.uri}")
    apart = ("sweep.", "run.name=", "run.storage=", "data.uri=", "train.precision=")
    own = [f"{key}={text(value)}" for key, value in winner.best.params.items()]
    every = (*space.overrides, *given, *own)
    kept = [word for word in every if not word.startswith(apart)]
    return shlex.join(
        ["rayograph", "train", preset, *kept, f"train.precision={precision}", *places]
    )


def refuse_clash(space: Space, overrides: Sequence[str]) -> None:
    """Raise `UserError` where an override names what the space searches."""
    for override in overrides:
        key = override.partition("=")[0]
        if key in space.domains:
            raise UserError(f"{override}: {key} is searched by {space.name}; leave one of them out")

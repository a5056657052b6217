"""What the driver does while Tune runs: it keeps the ledger."""

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune

from rayograph.config import SweepConfig
from rayograph.errors import one_line
from rayograph.runs import history
from rayograph.search.folder import SweepFolder
from rayograph.search.ledger import Handover, Ledger, State, Trial, name_of
from rayograph.search.space import applied
from rayograph.search.stopper import SweepStopper


class LedgerCallback(tune.Callback):
    """Keeps the ledger while Tune runs, in the driver's process."""

    def __init__(
        self,
        ledger: Ledger,
        folder: SweepFolder,
        config: SweepConfig,
        stop: SweepStopper,
        changed: Callable[[Trial], None],
    ) -> None:
        self.ledger = ledger
        self._folder = folder
        self._config = config
        self._stop = stop
        self._changed = changed

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes a copy of all that it is given, which is never read."""
        return {}

    def new(self, params: Mapping[str, Any]) -> Trial:
        """A further trial, waiting."""
        number = len(self.ledger.trials)
        epochs = params.get("train.epochs", self._config.train.epochs)
        trial = Trial(number=number, params=dict(params), run=name_of(number), epochs=epochs)
        self.ledger.trials[number] = trial
        self.ledger.touch()
        return trial

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial's process begins, or begins again."""
        found = self.ledger.named(str(trial))
        found.state = "running"
        self._note(found)

    def on_trial_result(
        self,
        iteration: int,
        trials: Any,
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """An epoch is over, or all is."""
        found = self.ledger.named(str(trial))
        if "ended" in result:
            found.state, found.message = result["ended"], result["message"]
        else:
            if result["handover"] and result["run"] != found.run:
                found.params = result["params"]
                found.handovers = [
                    *found.handovers,
                    Handover(**result["handover"], params=found.params),
                ]
            train, workers = self._config.train, self._config.cluster.most
            found.add(result["row"], result["run"], train, workers)
        self._note(found)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial is over: by itself, or stopped by the scheduler, or by the stopper."""
        found = self.ledger.named(str(trial))
        rows, workers = self._folder.rows(found), self._config.cluster.most
        found.review(rows, self._config.train, workers)
        own = applied(self._config, found.params).train
        if found.state == "running" and history.finished(rows, own):
            found.state = "finished"
        elif found.state == "running" and not self._stop.stop_all():
            found.state, found.message = "stopped", f"by {self._config.sweep.scheduler}"
        if found.state in ("finished", "stopped"):  # of trouble it was told before
            self._note(found)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial's process was lost; it is started again."""
        self._lost(trial, "waiting", "")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial's process was lost too often."""
        self._lost(trial, "lost", ", given up")

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        """Tune has done a step."""
        self.ledger.save()

    def _lost(self, trial: Any, state: State, tail: str) -> None:
        found = self.ledger.named(str(trial))
        found.retries += 1
        reason = [one_line(line) for line in str(trial.get_error()).splitlines()[-1:]]
        words = [f"process lost {times(found.retries)}{tail}", *reason]
        found.state, found.message = state, ": ".join(words)
        self._note(found)

    def _note(self, trial: Trial) -> None:
        self.ledger.touch()
        self._changed(trial)


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")

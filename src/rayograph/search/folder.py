"""The sweep's folder in storage: what it was begun with, its ledger, its trials, its winner."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rayograph import storage
from rayograph.config import SweepConfig
from rayograph.errors import Failure, UserError, one_line
from rayograph.runs.folder import CONFIG, ENVIRONMENT, HISTORY, RunFolder
from rayograph.search.ledger import ENDED, SWEEP, Ledger, Trial
from rayograph.search.space import Space, applied

LEDGER, WINNER, PAGE = "trials.jsonl", "winner.json", "sweep.html"
MAY_CHANGE = ("cluster.", "mlflow.", "sweep.max_trials", "sweep.max_time")


@dataclass(frozen=True)
class SweepFolder:
    """`STORAGE/RUN-SPACE/`."""

    uri: str

    @classmethod
    def of(cls, config: SweepConfig, space: Space) -> "SweepFolder":
        """The folder of a sweep: the preset's run and the space give it its name."""
        return cls(storage.join(config.run.storage, f"{config.run.name}-{space.name}"))

    @property
    def trials(self) -> str:
        """Where the trials' run folders lie."""
        return storage.join(self.uri, "trials")

    @property
    def best(self) -> str:
        """The winner's run folder."""
        return storage.join(self.uri, "best")

    @property
    def page(self) -> str:
        """The page that shows the sweep."""
        return storage.join(self.uri, PAGE)

    def config(self) -> SweepConfig:
        """What it was begun with; `Failure` where that is damaged."""
        place = storage.join(self.uri, SWEEP)
        return _config(_document(place), place)

    def ledger(self, config: SweepConfig) -> Ledger:
        """The ledger, empty in a new sweep; trials that have not ended are waiting.

        Epochs of which it had not yet heard when the driver was lost are taken in. `Failure` where
        it is damaged, or where `config` refuses a waiting trial.
        """
        found = Ledger.at(storage.join(self.uri, LEDGER))
        for trial in found.trials.values():
            if trial.state not in ENDED:
                trial.state, trial.message = "waiting", ""
                try:
                    applied(config, trial.params)
                except UserError as error:
                    raise Failure(f"{found.uri}: {trial.name}: {error}") from None
                trial.review(self.rows(trial), config.train, config.cluster.most)
        return found

    def rows(self, trial: Trial) -> list[dict[str, Any]]:
        """The epochs of a trial's present run."""
        return RunFolder(storage.join(self.trials, trial.run)).history()

    def begin(self, config: SweepConfig, space: Space) -> None:
        """Claim the folder, or check that it was begun with the same config and space."""
        place = storage.join(self.uri, SWEEP)
        if storage.exists(place):
            old = _document(place)
            different = _config(old, place).differences(config)
            changed = [key for key in different if not key.startswith(MAY_CHANGE)]
            if old.get("space") != json.loads(json.dumps(space.document())):
                changed.append("space")
            if changed:
                raise UserError(
                    f"{self.uri}: was started with a different {', '.join(changed)}; "
                    "give a new run.name, or the old values"
                )
        document = {"config": config.model_dump(mode="json"), "space": space.document()}
        storage.write(place, json.dumps(document, indent=1).encode())

    def publish(self, winner: Trial, command: str | None) -> None:
        """Put the winner's run folder at `best/`, the file that makes it valid last."""
        assert winner.best is not None
        document: dict[str, Any] = {
            "trial": winner.name,
            **winner.best.model_dump(),
            "command": command,
        }
        place, data = storage.join(self.best, WINNER), json.dumps(document, indent=1).encode()
        if storage.exists(place):
            old_winner = _document(place)
            if all(old_winner.get(key) == document[key] for key in ("run", "epoch")):
                storage.write(place, data)
                return
        old = [entry.uri for entry in storage.listing(self.best) if "/looks/" not in entry.uri]
        storage.delete(sorted(old, key=lambda uri: uri != place))
        run = RunFolder(storage.join(self.trials, winner.best.run))
        parts = [entry.uri for entry in storage.listing(storage.join(run.uri, "best"))]
        own = [storage.join(run.uri, name) for name in (ENVIRONMENT, HISTORY, CONFIG)]
        for uri in (*parts, *own):
            storage.copy(uri, storage.join(self.best, uri.removeprefix(run.uri)))
        storage.write(place, data)


def _config(document: dict[str, Any], place: str) -> SweepConfig:
    try:
        return SweepConfig.model_validate(document.get("config"))
    except ValidationError as error:
        raise Failure(f"{place}: is damaged: {one_line(error)}") from None


def _document(place: str) -> dict[str, Any]:
    """A JSON object in storage; `Failure` where it is none."""
    try:
        found = json.loads(storage.read(place))
    except (ValueError, RecursionError) as error:
        raise Failure(f"{place}: is damaged: {one_line(error)}") from None
    if not isinstance(found, dict):
        raise Failure(f"{place}: is damaged: not a JSON object")
    return found

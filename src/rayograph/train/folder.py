"""The run folder in storage: what a run leaves behind, whoever ran it. See docs/formats.md."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rayograph import config as configs
from rayograph import storage
from rayograph.config import Config
from rayograph.errors import UserError
from rayograph.models import card as cards
from rayograph.train import history, state

CONFIG, ENVIRONMENT, HISTORY = "config.yaml", "environment.json", "history.jsonl"
MODEL_JSON = "model.json"
CHECKPOINT = re.compile(r"checkpoint_(\d{4,})_[0-9a-f]{8}")
MAY_CHANGE = (
    "pack.",
    "cluster.",
    "checkpoint.",
    "run.",
    "train.epochs",
    "train.micro_batch",
    "train.patience",
)


@dataclass(frozen=True)
class RunFolder:
    """`STORAGE/RUN/`."""

    uri: str

    @classmethod
    def of(cls, config: Config) -> "RunFolder":
        """The folder of a config's run."""
        return cls(storage.join(config.run.storage, config.run.name))

    @property
    def best_model(self) -> str:
        """The best checkpoint's model, all that predict, evaluate and export need."""
        return storage.join(self.uri, "best", state.MODEL)

    def begin(self, config: Config) -> None:
        """Claim the folder for a new run, or check that an unfinished one may go on.

        Raises `UserError` where the run is finished, or was begun with another config.
        """
        place = storage.join(self.uri, CONFIG)
        rows = self.history()
        if rows:
            _refuse_other_config(self.uri, configs.load(place), config)
            if history.finished(rows, config.train):
                raise UserError(
                    f"{self.uri}: this run is finished; give a new run.name, or more train.epochs"
                )
        storage.write(place, configs.dump(config).encode())
        environment = json.dumps({"versions": state.versions()}, indent=1)
        storage.write(storage.join(self.uri, ENVIRONMENT), environment.encode())

    def config(self) -> Config:
        """The config that the run was begun with; `UserError` where no run lies here."""
        try:
            return configs.load(storage.join(self.uri, CONFIG))
        except storage.NotFoundError:
            raise UserError(f"{self.uri}: no run here ({CONFIG} is missing)") from None

    def history(self) -> list[dict[str, Any]]:
        """The epochs of all committed checkpoints; empty where there are none."""
        place = storage.join(self.uri, HISTORY)
        return history.from_lines(storage.read(place)) if storage.exists(place) else []

    def checkpoints(self) -> dict[int, str]:
        """The URI of a complete checkpoint of each epoch that has one, by epoch."""
        found: dict[int, str] = {}
        for entry in storage.listing(self.uri):
            folder, _, name = entry.uri.rpartition("/")
            match = CHECKPOINT.fullmatch(folder.rpartition("/")[2])
            if match and name == state.PROGRESS and storage.parent(folder) == self.uri:
                found[int(match[1])] = folder
        return dict(sorted(found.items()))

    def publish(self, checkpoint: str, select: str) -> None:
        """Show a committed checkpoint: `best/` where another epoch is now best, then the history.

        What a crash between a commit and its publication left undone, the next one does.
        """
        rows = state.read_progress(checkpoint)["history"]
        leader = history.best(rows, select)
        if leader is not None and leader["epoch"] != self._published():
            places = {**self.checkpoints(), rows[-1]["epoch"]: checkpoint}
            self._publish_best(places[leader["epoch"]])
        storage.write(storage.join(self.uri, HISTORY), history.to_lines(rows))

    def _published(self) -> int | None:
        place = storage.join(self.uri, "best", MODEL_JSON)
        return json.loads(storage.read(place))["epoch"] if storage.exists(place) else None

    def _publish_best(self, checkpoint: str) -> None:
        model, folder = storage.join(checkpoint, state.MODEL), storage.join(self.uri, "best")
        card, _ = cards.from_bytes(storage.fetch(model), model)
        storage.copy(model, self.best_model)
        storage.write(storage.join(folder, MODEL_JSON), card.model_dump_json(indent=1).encode())
        storage.write(storage.join(folder, "MODEL_CARD.md"), cards.page(card).encode())


def checkpoint_name(epoch: int, attempt: str) -> str:
    """A name that no other start of the run uses: a crash may leave an orphan of the same epoch."""
    return f"checkpoint_{epoch:04}_{attempt}"


def _refuse_other_config(uri: str, old: Config, new: Config) -> None:
    differing = [key for key in _differences(old, new) if not key.startswith(MAY_CHANGE)]
    if differing:
        raise UserError(
            f"{uri}: was begun with another {', '.join(differing)}; "
            "give a new run.name, or the old values"
        )


def _differences(old: Config, new: Config) -> Sequence[str]:
    before, after = old.model_dump(), new.model_dump()
    keys = (name for name, _ in configs.fields())
    parts = ((key, *key.split(".")) for key in keys)
    return [key for key, room, name in parts if before[room][name] != after[room][name]]

"""The run folder in storage: what a run leaves behind, whoever ran it. See docs/formats.md."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rayograph import storage
from rayograph.config import RunConfig
from rayograph.errors import Diverged, Failure, UserError, one_line
from rayograph.runs import card as cards
from rayograph.runs import checkpoint as checkpoints
from rayograph.runs import history, tensorboard
from rayograph.runs.checkpoint import CHECKPOINT, PROGRESS, SNAPSHOT, Progress, epoch_of

CONFIG, ENVIRONMENT, HISTORY = "config.yaml", "environment.json", "history.jsonl"
MODEL_JSON = "model.json"
AUTO = "auto"  # of `train.precision`: a run that goes on keeps what it came to
RAYS = "checkpoint_manager_snapshot.json"  # Ray Train's own record of checkpoints
MAY_CHANGE = (
    "cluster.",
    "checkpoint.",
    "mlflow.",
    "run.",
    "train.epochs",
    "train.micro_batch",
    "train.on_nan",
    "train.patience",
    "train.watch",
    "data.cache",
    "data.uri",  # a checkpoint knows its dataset by the fingerprint
)


@dataclass(frozen=True)
class RunFolder:
    """`STORAGE/RUN/`."""

    uri: str

    @classmethod
    def of(cls, config: RunConfig) -> "RunFolder":
        """The folder of a config's run."""
        return cls(storage.join(config.run.storage, config.run.name))

    @property
    def best_model(self) -> str:
        """The best checkpoint's model, all that predict and evaluate need."""
        return storage.join(self.uri, "best", cards.MODEL)

    def check(self, config: RunConfig) -> int:
        """The epochs that an unfinished run of this name has behind it; 0 for a new run.

        Raises `UserError` where the run is finished, or was started with a different config.
        """
        rows = self.history()
        self._begun(rows, config)
        return rows[-1]["epoch"] if rows else 0

    def _begun(self, rows: Sequence[Mapping[str, Any]], config: RunConfig) -> RunConfig | None:
        """The config of the unfinished run that `config` goes on with; None of a new one."""
        if not (rows or self._complete(CHECKPOINT) or self.snapshots()):
            return None
        old = _config(storage.join(self.uri, CONFIG))
        _refuse_other_config(self.uri, old, config)
        if history.finished(rows, config.train):
            more = "patience" if rows[-1]["epoch"] < config.train.epochs else "epochs"
            raise UserError(
                f"{self.uri}: this run is finished; give a new run.name, or more train.{more}"
            )
        return old

    def begin(self, config: RunConfig) -> None:
        """Claim the folder for a new run, or for an unfinished one to go on; first `check`.

        A finished run loses the snapshots that a crash at its very end has left.
        """
        rows = self.history()
        if rows and history.finished(rows, self.config().train):
            self.forget_snapshots(but=())
        old = self._begun(rows, config)
        if old is not None and config.train.precision == AUTO:
            config = config.in_precision(old.train.precision)
        self._describe(config, {})

    def settle(self, precision: Literal["float32", "bf16"], why: Mapping[str, Any]) -> None:
        """Write what `train.precision=auto` came to into the config, and why beside the versions.

        The run keeps it, wherever it goes on.
        """
        config = self.config().in_precision(precision)
        self._describe(config, {"precision": {"taken": precision, **why}})

    def trained_on(self, device: str) -> None:
        """Write beside the versions what trains the run now."""
        place = storage.join(self.uri, ENVIRONMENT)
        told = json.loads(storage.read(place)) | {"device": device}
        storage.write(place, json.dumps(told, indent=1).encode())

    def _describe(self, config: RunConfig, facts: Mapping[str, Any]) -> None:
        storage.write(storage.join(self.uri, CONFIG), config.dump().encode())
        environment = json.dumps({"versions": checkpoints.versions(), **facts}, indent=1)
        storage.write(storage.join(self.uri, ENVIRONMENT), environment.encode())

    def config(self) -> RunConfig:
        """The config that the run was begun with; `UserError` where no run lies here."""
        try:
            return _config(storage.join(self.uri, CONFIG))
        except storage.NotFoundError:
            raise UserError(f"{self.uri}: no run here ({CONFIG} is missing)") from None

    def history(self) -> list[dict[str, Any]]:
        """The epochs of all committed checkpoints; empty where there are none."""
        place = storage.join(self.uri, HISTORY)
        return history.from_lines(storage.read(place), place) if storage.exists(place) else []

    def card(self) -> cards.ModelCard | None:
        """The card of the best model; None where there is none yet."""
        place = storage.join(self.uri, "best", MODEL_JSON)
        if not storage.exists(place):
            return None
        try:
            document = json.loads(storage.read(place))
            document.pop("checkpoint")
            return cards.ModelCard.model_validate(document)
        except cards.DAMAGED as error:
            raise UserError(f"{place}: not a model card: {one_line(error)}") from None

    def environment(self) -> dict[str, str]:
        """Versions and `device` that the run was trained with; empty where they were not kept."""
        place = storage.join(self.uri, ENVIRONMENT)
        found = json.loads(storage.read(place)) if storage.exists(place) else {}
        device = {"device": found["device"]} if "device" in found else {}
        return {name: str(told) for name, told in (found.get("versions", {}) | device).items()}

    def checkpoints(self) -> dict[int, str]:
        """The URI of each epoch's checkpoint, by epoch, for those that are published and kept."""
        complete = self._complete(CHECKPOINT)
        names = {row["epoch"]: row["checkpoint"] for row in self.history()}
        return {epoch: complete[name] for epoch, name in names.items() if name in complete}

    def latest(self) -> str | None:
        """The newest complete checkpoint, also one that a crash left unpublished."""
        published, complete = self.checkpoints(), self._complete(CHECKPOINT)
        newest = max(complete, default=None)
        if newest is None:
            return None
        return published.get(epoch_of(newest), complete[newest])

    def snapshots(self) -> list[tuple[tuple[int, int], str]]:
        """Position (epoch, step) and URI of each checkpoint inside an epoch, the latest first."""
        found = [
            ((int(match[1]), int(match[2])), uri)
            for name, uri in self._complete(SNAPSHOT).items()
            if (match := SNAPSHOT.fullmatch(name))
        ]
        return sorted(found, reverse=True)

    def forget_snapshots(self, but: Collection[str]) -> None:
        """Delete all checkpoints inside epochs, those left in pieces too, but these."""
        found: dict[str, list[str]] = {}
        for entry in storage.listing(self.uri):
            place = storage.parent(entry.uri)
            if SNAPSHOT.fullmatch(place.rpartition("/")[2]) and place not in but:
                found.setdefault(place, []).append(entry.uri)
        for uris in found.values():  # without progress.json, the first to go, the rest is none
            storage.delete(sorted(uris, key=lambda uri: not uri.endswith(PROGRESS)))

    def resume_from(self, committed: str | None) -> str | None:
        """The latest snapshot that goes on from the committed checkpoint, else that checkpoint.

        A snapshot whose history ends with another checkpoint follows one that a crash has lost.
        """
        name = committed and committed.rpartition("/")[2]
        for _, uri in self.snapshots():
            rows = Progress.read(uri).history
            names = [row["checkpoint"] for row in rows if row["checkpoint"]]
            if (names[-1] if names else None) == name:
                return uri
        return committed

    def publish(self, checkpoint: str, leader: str) -> None:
        """Show a committed checkpoint: `best/` where another one is now best, then the history.

        What a crash between a commit and its publication left undone, the next one does.
        """
        rows = Progress.read(checkpoint).history
        first = history.best(rows, leader)
        if first is not None and first["checkpoint"] != self._published():
            self._publish_best(first["checkpoint"])
        place = storage.join(self.uri, "tensorboard", tensorboard.NAME)
        storage.write(place, tensorboard.events(rows))
        storage.write(storage.join(self.uri, HISTORY), history.to_lines(rows))

    def _complete(self, pattern: re.Pattern[str]) -> dict[str, str]:
        """The folders of that name which have all their files, by name."""
        found: dict[str, str] = {}
        for entry in storage.listing(self.uri):
            folder, _, name = entry.uri.rpartition("/")
            own = folder.removeprefix(storage.join(self.uri, ""))
            if pattern.fullmatch(own) and name == PROGRESS:
                found[own] = folder
        return found

    def _published(self) -> str | None:
        place = storage.join(self.uri, "best", MODEL_JSON)
        try:
            return str(json.loads(storage.read(place))["checkpoint"])
        except (storage.NotFoundError, ValueError, LookupError, TypeError, RecursionError):
            return None  # none yet, or damaged: it is written anew

    def _publish_best(self, name: str) -> None:
        model, folder = storage.join(self.uri, name, cards.MODEL), storage.join(self.uri, "best")
        card = cards.read(model)
        storage.copy(model, self.best_model)
        storage.write(storage.join(folder, "MODEL_CARD.md"), cards.page(card).encode())
        document = {"checkpoint": name, **card.model_dump(mode="json")}
        storage.write(storage.join(folder, MODEL_JSON), json.dumps(document, indent=1).encode())


def _config(place: str) -> RunConfig:
    """The config of a run's own file, which an error names."""
    try:
        return RunConfig.load(place)
    except storage.NotFoundError:
        raise
    except UserError as error:
        raise UserError(f"{place}: {str(error).removeprefix(f'{place}: ')}") from None


def with_resume_hint(error: Failure, saved: str | None) -> Failure:
    """The error that ended a run, with the checkpoint that the same command goes on from."""
    if saved is None or isinstance(error, Diverged):
        return error
    safe = f"safe: {saved}, and each later snapshot beside it"
    return Failure(f"{error}; {safe}; run the same command again to continue from there")


def _refuse_other_config(uri: str, old: RunConfig, new: RunConfig) -> None:
    if new.train.precision == AUTO:
        new = new.in_precision(old.train.precision)
    differing = [key for key in old.differences(new) if not key.startswith(MAY_CHANGE)]
    if differing:
        raise UserError(
            f"{uri}: was started with a different {', '.join(differing)}; "
            "give a new run.name, or the old values"
        )

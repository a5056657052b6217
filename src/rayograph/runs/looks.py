"""The ledger of looks: who has looked at a test split, with which model, and what was seen.

A result that many looks were taken at is optimistic: something was chosen by it. Each look is one
small object, complete or absent, in `looks/` of the dataset that was looked at, which no copy of a
model evades, and in `evaluation/looks/` of the model's run or sweep, if it lies in one.
"""

import json
import logging
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rayograph import storage
from rayograph import task as tasks
from rayograph.errors import Failure, UserError, one_line
from rayograph.runs.folder import CONFIG, MODEL_JSON, RunFolder

if TYPE_CHECKING:
    from rayograph.runs.evaluations import Evaluation

SWEEP = "sweep.json"
NAME = re.compile(  # when, model, dataset; of older ones only when
    r"(?P<time>\d{8}T\d{6}\.\d{6}Z)"
    r"(-(?P<model>[0-9a-f]{12})-(?P<dataset>[0-9a-f]{12})-[0-9a-f]{8})?\.json"
)
WATCHING = "train"  # the command whose looks are a run's epochs: `train.watch`
MANY = 10  # looks, above which a result is doubted
_log = logging.getLogger("rayograph.runs")


@dataclass(frozen=True)
class Looks:
    """How often a test split was looked at, and by how many models; by files, not by names.

    Not `complete` where a place that may hold more could not be listed.
    """

    looks: int
    models: int
    complete: bool = True

    @property
    def doubtful(self) -> bool:
        """Whether something may have been chosen by the test split."""
        return self.models > 1 or self.looks > MANY


@dataclass(frozen=True)
class Look:
    """One look at a split, as it is written down; `models` were judged together."""

    command: str
    model: str  # URI
    digest: str  # sha256 of the model's file
    epoch: int | None
    models: int
    trained_on: str  # the fingerprint of the model's own dataset
    dataset: str  # URI
    fingerprint: str
    split: str
    films: int
    metrics: Mapping[str, Mapping[str, float | None]]  # the headline's: value, low, high
    all_checkpoints: bool = False

    @classmethod
    def of(cls, found: "Evaluation", command: str) -> "Look":
        """The look that an evaluation was."""
        names = tasks.of(found.task, found.classes).headline
        return cls(
            command=command,
            model=found.model,
            digest=found.digest,
            epoch=found.epoch,
            models=found.models,
            trained_on=found.trained_on,
            dataset=found.dataset,
            fingerprint=found.fingerprint,
            split=found.split,
            films=found.films,
            metrics={name: vars(found.metrics[name]) for name in names if name in found.metrics},
            all_checkpoints=bool(found.checkpoints),
        )


def record(run: str | None, found: Look) -> None:
    """Write down a look at a test split; never fails, but warns where it can be written nowhere.

    `run` is the folder of the run or sweep, where the caller knows it; else it is found by the
    model's place. A look at another split is none.
    """
    if found.split != "test":
        return
    time = datetime.now(UTC)
    digests = f"{found.digest or '0' * 12:.12}-{found.fingerprint:.12}"
    name = f"{time:%Y%m%dT%H%M%S.%fZ}-{digests}-{secrets.token_hex(4)}.json"
    document = {"time": time.isoformat(timespec="seconds"), **asdict(found)}
    data = json.dumps(document, indent=1).encode()
    refused = []
    places = _places(run or folder_of(found.model), found.dataset)
    for place in places:
        try:
            storage.write(storage.join(place, name), data)
        except (UserError, Failure) as error:
            refused.append(one_line(error))
    if len(refused) == len(places):
        _log.warning("this look at the test split is not recorded: %s", "; ".join(refused))


def folder_of(model: str) -> str | None:
    """The run or sweep that a model file or such a folder belongs to; None of a bare model."""
    above = storage.parent(storage.parent(model))  # of RUN/best/model.safetensors, a checkpoint's
    for place in (model, above):
        if any(storage.exists(storage.join(place, name)) for name in (CONFIG, SWEEP)):
            return place
    return None


def _places(folder: str | None, dataset: str | None) -> list[str]:
    found = [] if dataset is None else [storage.join(dataset, "looks")]
    return found if folder is None else [*found, storage.join(folder, "evaluation", "looks")]


def count(found: "Evaluation", run: str | None = None) -> Looks:
    """The looks at the films of an evaluation that are known here, by the names of the objects."""
    fingerprint, own = found.fingerprint, found.fingerprint == found.trained_on
    names, complete = dict[str, str | None](), True
    for place in _places(run or folder_of(found.model), found.dataset):
        try:
            seen = [match for match, _ in _listed([place]) if _of(match, fingerprint, own)]
            names |= {match[0]: match["model"] for match in seen}
        except (UserError, Failure):
            complete = False  # to read a dataset needs no right to list it
    return Looks(len(names), len(set(names.values())), complete)


def _of(name: re.Match[str], fingerprint: str, own: bool) -> bool:
    """Whether a look is at that dataset; older ones are all at the run's own."""
    return own if name["dataset"] is None else name["dataset"] == fingerprint[:12]


def _listed(places: Iterable[str]) -> Iterator[tuple[re.Match[str], str]]:
    """Each look once, oldest first, with its place."""
    found: dict[str, tuple[re.Match[str], str]] = {}
    for place in places:
        for entry in storage.listing(place):
            match = NAME.fullmatch(entry.uri.rpartition("/")[2])
            if match is not None:
                found[match[0]] = (match, entry.uri)
    yield from (found[name] for name in sorted(found))


def of_run(folder: RunFolder) -> dict[str, Any] | None:
    """All known looks at a run's test split and with its models elsewhere; None without any.

    `looks` are the documents, oldest first, `counted` and `models` how many are at the run's own
    test split and by how many models. A dataset that cannot be read is said in `unknown`.
    """
    fingerprint, dataset = _trained_on(folder)
    unknown = None
    rows = list(_listed(_places(folder.uri, None)))
    try:
        known = {match[0] for match, _ in rows}
        others = _listed(_places(None, dataset))
        rows += [(m, at) for m, at in others if m[0] not in known and _of(m, fingerprint, False)]
    except (UserError, Failure) as error:
        unknown = one_line(error)
    if not rows:
        return None
    rows.sort(key=lambda row: row[0][0])
    own = [match for match, _ in rows if _of(match, fingerprint, True)]
    documents = [
        {**_read(uri), "own": _of(match, fingerprint, True), "time": _time(match)}
        for match, uri in rows
    ]
    return {
        "looks": documents,
        "counted": len(own),
        "models": len({match["model"] for match in own}),
        "unknown": unknown,
    }


def _trained_on(folder: RunFolder) -> tuple[str, str | None]:
    """Fingerprint and place of the dataset of a run's best model."""
    place = storage.join(folder.uri, "best", MODEL_JSON)
    if not storage.exists(place):
        return "", None
    card: Mapping[str, Any] = json.loads(storage.read(place))
    return str(card["fingerprint"]), str(card["dataset"])


def _read(uri: str) -> dict[str, Any]:
    """A look; an older one is a whole evaluation, of which as much is taken."""
    found: dict[str, Any] = json.loads(storage.read(uri))
    headline = tasks.of(found["task"], found["classes"]).headline if "task" in found else None
    if headline is not None:
        own = {name: found["metrics"][name] for name in headline if name in found["metrics"]}
        return {
            "command": None,
            "model": found["model"],
            "epoch": found["epoch"],
            "dataset": found["dataset"],
            "films": found["films"],
            "metrics": own,
            "all_checkpoints": "checkpoints" in found,
        }
    return found


def _time(name: re.Match[str]) -> str:
    when = datetime.strptime(name["time"], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    return when.isoformat(timespec="seconds")

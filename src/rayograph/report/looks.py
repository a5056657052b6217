"""The ledger of looks on the page: how often a test split was looked at, and with what."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rayograph import task
from rayograph.report import words
from rayograph.runs.looks import WATCHING, Looks

Document = Mapping[str, Any]
NAME = "looks"  # of the finding
CHECKPOINT = re.compile(r"/checkpoint_[^/]+/model\.safetensors$")


def view(document: Document) -> dict[str, Any]:
    """What the template shows: a row a look, oldest first."""
    looks = list(_rows(document["looks"]))
    shown = dict.fromkeys(name for look in looks for name in look["metrics"])
    return {
        "sentence": sentence(document),
        "unknown": document["unknown"],
        "head": [
            "Time (UTC)", "Command", "Films of", "Model", "Epoch", "Films",
            *(task.METRICS[name].heading for name in shown),
        ],
        "rows": [
            [
                look["time"][:16].replace("T", "\u00a0").replace("-", "\u2011"),
                _command(look),
                "its own test split" if look["own"] else look["dataset"].rpartition("/")[2],
                _model(look["model"]),
                str(look.get("epochs") or look["epoch"] or words.NONE),
                f"{look['films']:,}",
                *(words.with_interval(look["metrics"], name) for name in shown),
            ]
            for look in looks
        ],
    }  # fmt: skip


def _rows(looks: Sequence[Document]) -> Iterator[Document]:
    """The looks, those of a run that watched while it trained as one: their first, no metrics."""
    for (command, run), group in groupby(looks, lambda look: (look["command"], _run(look))):
        those = list(group)
        epochs = [look["epoch"] for look in those]
        if command != WATCHING:
            yield from those
            continue
        told = f"{min(epochs)}–{max(epochs)}" if len(those) > 1 else str(epochs[0])
        yield {**those[0], "model": run, "epochs": told, "metrics": {}}


def _run(look: Document) -> str:
    """The run whose epoch was looked at while it trained; of other looks nothing."""
    if look["command"] != WATCHING:
        return ""
    return str(CHECKPOINT.sub("", look["model"]))


def doubts(document: Document) -> list[str]:
    """That a test split which more than one model was judged by, or often, may flatter it."""
    counted = Looks(document["counted"], document["models"])
    if not counted.doubtful:
        return []
    return [f"{sentence(document)} If any of that chose this model, its result is optimistic."]


def sentence(document: Document) -> str:
    """How often, and by how many models."""
    if not document["counted"]:
        return "No look at the test split is recorded."
    times = "once" if document["counted"] == 1 else f"{document['counted']} times"
    models = "one model" if document["models"] == 1 else f"{document['models']} models"
    every = sum(look["own"] and look["all_checkpoints"] for look in document["looks"])
    told = f"The test split has been looked at {times}, by {models}"
    if every:
        told += f"; {every} of these looks at every checkpoint"
    if watched := sum(look["own"] and look["command"] == WATCHING for look in document["looks"]):
        told += f"; {watched} of these were epochs of a run that watched it while it trained"
    return f"{told}."


def _command(look: Document) -> str:
    if look["command"] == WATCHING:
        return "train (after each epoch)"
    command = look["command"] or "evaluate or compare"  # of older looks it was not kept
    return f"{command} (every checkpoint)" if look["all_checkpoints"] else command


def _model(place: str) -> str:
    """The last parts of a place that say something: of RUN/best/model.safetensors, RUN/best."""
    return "/".join(place.removesuffix("/model.safetensors").split("/")[-2:])

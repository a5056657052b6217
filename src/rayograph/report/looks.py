"""The ledger of looks on the page: how often a test split was looked at, and with what."""

from collections.abc import Mapping
from typing import Any

from rayograph import task
from rayograph.report import words
from rayograph.runs.looks import Looks

Document = Mapping[str, Any]
NAME = "looks"  # of the finding


def view(document: Document) -> dict[str, Any]:
    """What the template shows: a row a look, oldest first."""
    shown = dict.fromkeys(name for look in document["looks"] for name in look["metrics"])
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
                str(look["epoch"] or words.NONE),
                f"{look['films']:,}",
                *(words.with_interval(look["metrics"], name) for name in shown),
            ]
            for look in document["looks"]
        ],
    }  # fmt: skip


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
    return f"{told}; {every} of these looks at every checkpoint." if every else f"{told}."


def _command(look: Document) -> str:
    command = look["command"] or "evaluate or compare"  # of older looks it was not kept
    return f"{command} (every checkpoint)" if look["all_checkpoints"] else command


def _model(place: str) -> str:
    """The last parts of a place that say something: of RUN/best/model.safetensors, RUN/best."""
    return "/".join(place.removesuffix("/model.safetensors").split("/")[-2:])

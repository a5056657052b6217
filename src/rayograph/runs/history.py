"""What a run's epochs say: the best one, and whether anything is left to do. Pure functions."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rayograph import task
from rayograph.config import LAST, TrainOptions
from rayograph.errors import Failure, one_line

MOST_EPOCHS = 1_000_000
LOWEST = -1e300  # a score that has lower ones
Row = Mapping[str, Any]  # one epoch, as a line of history.jsonl


def ranked(history: Sequence[Row], leader: str) -> list[Row]:
    """The epochs that have a checkpoint, best first; of equals the earlier.

    `leader` is the metric that says which is better, or `last`: `TrainOptions.leader`.
    """
    saved = [row for row in history if row.get("checkpoint")]
    return sorted(saved, key=lambda row: preference(row, leader), reverse=True)


def best(history: Sequence[Row], leader: str) -> Row | None:
    """The best epoch among those that have a checkpoint."""
    return next(iter(ranked(history, leader)), None)


def finished(history: Sequence[Row], options: TrainOptions) -> bool:
    """Whether a run has all its epochs, or its patience is over."""
    if not history:
        return False
    epoch = history[-1]["epoch"]
    if epoch >= options.epochs:
        return True
    first = max(history, key=lambda row: preference(row, options.leader))  # of equals the earlier
    waited = epoch - first["epoch"]
    return options.patience is not None and waited >= options.patience


def selecting(row: Row, select: str) -> task.Column | None:
    """What an epoch is judged by: `select`, or where that is undefined a loss.

    AUROC is undefined where the validation films are of one class; without any validation films
    there is only the training loss.
    """
    names = (select, "val_loss", "train_loss")
    return next((task.column(name) for name in names if plain(row.get(name)) is not None), None)


def score(row: Row, select: str) -> float:
    """What the best epoch has most of."""
    found = selecting(row, select)
    value = found.score(row) if found else None
    return -math.inf if value is None else value


def validated(row: Row) -> bool:
    """Whether an epoch was judged on validation films."""
    return any(name.startswith("val_") for name in row)


def preference(row: Row, leader: str) -> float:
    """What the epoch that becomes the model has most of; by `last` it is the last one.

    And without validation: the training loss falls as long as a model learns its films by heart.
    """
    by_metric = leader != LAST and validated(row)
    return score(row, leader) if by_metric else float(row["epoch"])


def standing(history: Sequence[Row], leader: str) -> float:
    """The last epoch's score, lowered a little for each earlier checkpoint that has the same.

    Ray keeps the highest scores, and of equals the later: without this it would prune the best.
    """
    own = preference(history[-1], leader)
    equals = sum(preference(row, leader) == own for row in history[:-1] if row["checkpoint"])
    found = max(own, LOWEST)
    for _ in range(equals):
        found = math.nextafter(found, -math.inf)
    return found


def to_lines(history: Sequence[Row]) -> bytes:
    """`history.jsonl`: a JSON object an epoch; NaN, which JSON lacks, is null."""
    rows = [{k: plain(v) for k, v in row.items()} for row in history]
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def from_lines(data: bytes, place: str) -> list[dict[str, Any]]:
    """The rows of the `history.jsonl` at `place`; `Failure` where it is damaged."""
    try:
        rows = [json.loads(line) for line in data.decode().split("\n") if line]
        check(rows)
    except (ValueError, RecursionError) as error:
        raise Failure(f"{place}: is damaged: {one_line(error)}") from None
    return rows


class _Row(BaseModel, extra="allow", strict=True):
    """What is relied on in a row; a checkpoint's name becomes a part of a path."""

    __pydantic_extra__: dict[str, float | None]
    epoch: Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
    checkpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,99}$")] | None


def check(rows: Sequence[Row]) -> None:
    """Raise `ValueError` where a row is none."""
    for row in rows:
        _Row.model_validate(row)


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

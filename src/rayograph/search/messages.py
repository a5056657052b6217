"""What the driver, Tune and a trial tell each other; Tune wants plain dicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from rayograph.config import RunConfig


@dataclass(frozen=True)
class TrialsJob:
    """What all trials share: the config, and whether the scheduler hands weights over."""

    config: RunConfig
    hands_over: bool


class TrialSpec(TypedDict):
    """A trial to run: its number and parameters, and the run to go on with."""

    number: int
    params: dict[str, Any]
    run: str


class Pointer(TypedDict):
    """The checkpoint of a trial after an epoch, which another one may go on from (PBT)."""

    trial: str
    run: str
    params: Mapping[str, Any]
    epoch: int
    checkpoint: str


class Source(TypedDict):
    """Whose weights a trial took over, and after which epoch."""

    epoch: int
    source: str


class EpochReport(TypedDict):
    """An epoch of a trial, as Tune and the ledger hear of it."""

    epoch: int
    score: float
    row: dict[str, Any]
    run: str
    params: Mapping[str, Any]
    handover: Source | None


class EndReport(TypedDict):
    """How a trial ended that could not go on."""

    ended: Literal["failed", "diverged"]
    message: str

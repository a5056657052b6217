"""What is searched: overrides of a preset by dotted key, each with a domain of Ray Tune's.

A space is a flat YAML mapping. A key with a domain is searched (`optim.lr: {loguniform: [1e-5,
1e-2]}`), a key with a plain value overrides the preset, and `sweep.*` says how to search.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
from ray import tune
from ray.tune.search.sample import Domain as TuneDomain

from rayograph.config import RunConfig, SweepConfig
from rayograph.config.documents import read as read_document
from rayograph.config.documents import text
from rayograph.config.shipped import find
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError, one_line
from rayograph.train.checks import check_run

C = TypeVar("C", bound=RunConfig)

RANGES = {  # kind: how many numbers it takes; Tune's own names and meanings
    "uniform": ("low", "high"),
    "quniform": ("low", "high", "step"),
    "loguniform": ("low", "high"),
    "qloguniform": ("low", "high", "step"),
    "randint": ("low", "high (excluded)"),
    "qrandint": ("low", "high", "step"),
    "lograndint": ("low", "high (excluded)"),
}
LISTS = ("choice", "grid")
APART = ("run", "phantom", "cluster", "checkpoint", "sweep")  # rooms that judge or place
FIXED = ("data.uri", "train.select", "train.final")  # else trials were not comparable
PBT_ROOMS = ("optim", "augment")  # what may change while weights are handed over
PBT_KEPT = ("optim.name", "optim.momentum", "optim.backbone_lr")  # but for these: moments must fit
LONGEST_LIST, LARGEST = 1000, 2**53  # of a list; of a number
DEFAULT_TRIALS, MOST_TRIALS = 16, 10_000
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}"
GOLDEN = 0.381966  # a point inside a range that is no whole number where the ends are


@dataclass(frozen=True)
class Domain:
    """The values that a key may take: the bounds of a range, or a list."""

    kind: str
    values: tuple[Any, ...]

    @property
    def scale(self) -> str:
        """How its axis is drawn: linear, log or choice."""
        if self.kind in LISTS:
            return "choice"
        return "log" if "log" in self.kind else "linear"

    def tune(self) -> TuneDomain:
        """Ray Tune's domain; of a grid, the choice among its values."""
        name, values = (self.kind, self.values)
        if name in LISTS:
            name, values = "choice", (list(values),)
        found: TuneDomain = getattr(tune, name)(*values)
        return found

    def probes(self) -> tuple[Any, ...]:
        """Values that stand for all: those of a list, the ends and the inside of a range."""
        if self.kind in LISTS:
            return self.values
        low, high = self.values[:2]
        if "int" in self.kind:
            return low, high - (self.kind != "qrandint")
        inside = low + GOLDEN * (high - low)
        return low, high, *(() if self.kind.startswith("q") else (inside,))

    def clip(self, value: Any) -> Any:
        """The nearest value inside a range."""
        if self.kind in LISTS:
            return value
        low, high = self.values[0], self.probes()[1]
        if self.kind.startswith("q"):
            step = self.values[2]
            value = type(low)(round(value / step) * step)
        return min(max(value, low), high)


@dataclass(frozen=True)
class Space:
    """A space as it was read: what is searched, and what it overrides in the preset."""

    name: str
    domains: Mapping[str, Domain]
    overrides: tuple[str, ...]

    def document(self) -> list[Any]:
        """The searched keys in order as plain data, to be compared with an earlier start's."""
        return [[key, {d.kind: list(d.values)}] for key, d in self.domains.items()]

    def size(self) -> int | None:
        """How many combinations there are; None unless it is a grid."""
        grid = all(domain.kind == "grid" for domain in self.domains.values())
        return math.prod(len(d.values) for d in self.domains.values()) if grid else None

    def point(self, number: int, seed: int) -> dict[str, Any]:
        """The parameters of trial `number` of a grid, or of a random search."""
        if self.size() is not None:
            chosen = {}
            for key, domain in reversed(list(self.domains.items())):  # the last key turns fastest
                number, place = divmod(number, len(domain.values))
                chosen[key] = domain.values[place]
            return {key: chosen[key] for key in self.domains}
        found = {}
        for place, (key, domain) in enumerate(self.domains.items()):
            value = domain.tune().sample(random_state=np.random.default_rng([seed, number, place]))
            found[key] = value.item() if isinstance(value, np.generic) else value
        return found


def read(place: str) -> Space:
    """The space at a path or URI, or the shipped one of that name; `UserError` if it is none."""
    uri = find("space", place)
    name = PurePosixPath(uri).stem
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"{place}: a space's file name names the sweep: letters, digits, . _ - only"
        )
    tree = read_document(uri)
    domains, overrides = {}, []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            domains[key] = _domain(place, key, value)
        else:
            overrides.append(f"{key}={text(value)}")
    return Space(name, domains, tuple(overrides))


def check(space: Space, config: SweepConfig) -> Space:
    """The space with values of the options' own types.

    Raises `UserError` for an unknown key, a key that must not differ between trials, a value that
    the config refuses, nothing to search, and a searcher or scheduler that cannot search it.
    """
    if not space.domains:
        raise UserError(
            f"{space.name}: nothing to search; give a key a domain, such as "
            "optim.lr: {loguniform: [1e-4, 1e-2]}"
        )
    typed = {key: _typed(key, domain, config) for key, domain in space.domains.items()}
    found = Space(space.name, typed, space.overrides)
    _check_methods(found, config)
    if config.sweep.searcher != "optuna":
        for number in range(trials(found, config)):
            applied(config, found.point(number, config.sweep.seed))
    return found


def first_read(space: Space, config: SweepConfig) -> SweepConfig:
    """The config with the first of the values that are searched of what is read."""
    read = {key: domain for key, domain in space.domains.items() if key.startswith("data.")}
    return applied(config, {key: domain.probes()[0] for key, domain in read.items()})


def check_runs(space: Space, config: SweepConfig, dataset: Dataset) -> None:
    """Raise `UserError` where a searched value gives a run that this dataset cannot train.

    Each value is tried in the config, and then beside the first values of the other searched keys.
    """
    first = {key: domain.probes()[0] for key, domain in space.domains.items()}
    for key, domain in space.domains.items():
        if not key.startswith(("model.", "data.", "train.")):
            continue
        for value in domain.probes():
            try:
                _check_run(config, key, {key: value}, dataset)
            except UserError:
                _check_run(config, "model.", first | {key: value}, dataset)


def _check_run(config: SweepConfig, key: str, params: Mapping[str, Any], dataset: Dataset) -> None:
    """Check a run with these parameters; weights are read where a key may change what they fit."""
    if not key.startswith("model."):
        config = config.model_copy(
            update={"model": config.model.model_copy(update={"weights": None})}
        )
    check_run(applied(config, params), dataset)


def trials(space: Space, config: SweepConfig) -> int:
    """How many trials there are to be."""
    limit, size = config.sweep.max_trials, space.size()
    if size is None:
        return limit or DEFAULT_TRIALS
    found = min(limit or size, size)
    if found > MOST_TRIALS:
        raise UserError(f"{space.name}: a grid of {size:,} trials; give sweep.max_trials")
    return found


def applied(config: C, params: Mapping[str, Any]) -> C:
    """The config with a trial's parameters; `UserError` where it refuses them."""
    tree = config.model_dump(mode="json")
    tree["augment"] = config.augment.own()  # else a searched level would change nothing
    for key, value in params.items():
        config.check_known(key)
        room, _, name = key.partition(".")
        tree[room][name] = value
    return type(config).parse(tree)


def _domain(place: str, key: str, value: Mapping[str, Any]) -> Domain:
    kinds = ", ".join((*RANGES, *LISTS))
    told = f"{place}: {one_line(key)}"
    if "." not in key:
        whole = one_line(f"{key}.{next(iter(value), '')}")
        raise UserError(f"{told}: write the whole key, such as {whole}")
    if len(value) != 1 or next(iter(value)) not in (*RANGES, *LISTS):
        raise UserError(f"{told}: unknown domain {one_line(dict(value))}; there are {kinds}")
    kind, given = next(iter(value.items()))
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise UserError(f"{place}: {key}: {kind} takes a list, such as {kind}: [1, 2]")
    if kind in LISTS:
        if not given or not all(item is None or isinstance(item, str) for item in given):
            raise UserError(f"{place}: {key}: {kind} takes one or more plain values")
        if len(given) > LONGEST_LIST:
            raise UserError(
                f"{place}: {key}: {kind} of {len(given):,} values; {LONGEST_LIST:,} at most"
            )
        return Domain(kind, tuple(given))
    wanted = RANGES[kind]
    try:
        numbers = tuple((int if "int" in kind else float)(item) for item in given)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != len(wanted) or not all(-LARGEST < number < LARGEST for number in numbers):
        raise UserError(
            f"{place}: {key}: {kind} takes [{', '.join(wanted)}], not {one_line(list(given))}"
        )
    if numbers[0] >= numbers[1]:
        raise UserError(f"{place}: {key}: {kind}: {given[0]} is not below {given[1]}")
    if kind.startswith("q") and numbers[2] <= 0:
        raise UserError(f"{place}: {key}: {kind}: the step must be above 0, not {given[2]}")
    try:
        Domain(kind, numbers).tune().sample(random_state=np.random.default_rng(0))
    except (ValueError, ArithmeticError) as error:  # no multiple of the step, a log of zero
        raise UserError(f"{place}: {key}: {kind}: {one_line(error)}") from None
    return Domain(kind, numbers)


def _typed(key: str, domain: Domain, config: SweepConfig) -> Domain:
    config.check_known(key)
    room, _, name = key.partition(".")
    if room in APART or key in FIXED:
        raise UserError(f"{key}: cannot be searched: trials could not be compared, or would clash")
    values = [
        applied(config, {key: v}).model_dump(mode="json")[room][name] for v in domain.probes()
    ]
    for value in values:
        if domain.kind == "grid" and values.count(value) > 1:
            raise UserError(f"{key}: {text(value)} appears twice in the grid")
    return Domain(domain.kind, tuple(values)) if domain.kind in LISTS else domain


def _check_methods(space: Space, config: SweepConfig) -> None:
    sweep, kinds = config.sweep, {key: domain.kind for key, domain in space.domains.items()}
    grids = [key for key, kind in kinds.items() if kind == "grid"]
    others = [key for key in kinds if key not in grids]
    if grids and others:
        raise UserError(
            f"{others[0]}: {kinds[others[0]]} cannot be part of a grid; list its values with grid, "
            f"or give {grids[0]} a choice"
        )
    if grids and sweep.searcher != "grid":
        raise UserError(f"{grids[0]}: grid needs sweep.searcher=grid; for others use choice")
    if others and sweep.searcher == "grid":
        raise UserError(f"{others[0]}: sweep.searcher=grid needs grid, not {kinds[others[0]]}")
    if sweep.searcher == "optuna":
        for key in (key for key, kind in kinds.items() if kind == "qloguniform"):
            raise UserError(f"{key}: optuna has no qloguniform; use loguniform or lograndint")
    if sweep.scheduler == "pbt":
        for problem in _pbt_problems(space, config):
            raise UserError(problem)


def _pbt_problems(space: Space, config: SweepConfig) -> Iterator[str]:
    if config.sweep.searcher != "random":
        yield f"sweep.searcher={config.sweep.searcher}: pbt needs random, since it searches itself"
    for key in space.domains:
        if key.partition(".")[0] not in PBT_ROOMS or key in PBT_KEPT:
            yield (
                f"{key}: pbt hands weights from trial to trial, so it searches "
                f"{' and '.join(f'{room}.*' for room in PBT_ROOMS)} only, "
                f"but for {', '.join(PBT_KEPT)}"
            )
    if trials(space, config) < 2:
        yield "sweep.max_trials=1: pbt needs two trials or more"
    if config.checkpoint.every != 1:
        yield f"checkpoint.every={config.checkpoint.every}: pbt hands checkpoints over; use 1"

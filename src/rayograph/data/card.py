"""A dataset as a reader of results needs it: its splits, who is in them, what leaks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rayograph.data import census, index
from rayograph.data.census import Census
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Finding, LabelCounts
from rayograph.errors import Failure, UserError, one_line


@dataclass(frozen=True)
class SplitCard:
    """What a split holds: its films, their patients, its labels, and what its index says of it."""

    films: int
    patients: int
    labels: Mapping[str, LabelCounts]
    census: Census


@dataclass(frozen=True)
class Shared:
    """What two splits share: patients, films of the `second` split that are theirs, same files."""

    first: str
    second: str
    patients: int
    films: int
    files: int


@dataclass(frozen=True)
class DataCard:
    """A packed dataset: its splits, in the order in which they are used, and what they share."""

    uri: str
    name: str
    noun: str
    recipe: str
    splits: Mapping[str, SplitCard]
    shared: tuple[Shared, ...]  # of all pairs of splits
    patients_known: bool
    findings: tuple[Finding, ...]
    ignored: Mapping[str, int]
    rejected: Mapping[str, int]  # how many originals, by reason
    salted: bool  # whether its films had headers, whose names of patients were replaced
    folds: int
    fold: int | None


@dataclass(frozen=True)
class Unread:
    """A dataset that could not be looked at, and why."""

    uri: str
    reason: str


def read(uri: str, fold: int | None, fingerprint: str) -> DataCard | Unread:
    """The card of the dataset with this fingerprint; of one that cannot be read, the reason."""
    try:
        dataset = Dataset.open(uri).at_fold(fold)
        if dataset.manifest.fingerprint != fingerprint:
            return Unread(uri, "another dataset lies there now; the model was trained on an older")
        return _card(dataset)
    except (UserError, Failure) as error:
        return Unread(uri, one_line(error))


def _card(dataset: Dataset) -> DataCard:
    manifest = dataset.manifest
    names: list[str] = [name for name in ("train", "val", "test") if name in dataset.splits]
    tables = {name: index.read(dataset, name) for name in names if dataset.split(name).rows}
    kinds = {finding.kind for finding in manifest.findings}
    return DataCard(
        uri=dataset.uri,
        name=manifest.name,
        noun=dataset.inputs.noun,
        recipe=manifest.recipe.words,
        splits={name: _split(dataset, name, table) for name, table in tables.items()},
        shared=tuple(_shared(tables)),
        patients_known="patients_unknown" not in kinds,
        findings=manifest.findings,
        ignored=manifest.ignored,
        rejected=census.kinds(index.reasons(dataset)) if manifest.rejected else {},
        salted=manifest.salted is not None,
        folds=len(manifest.folds),
        fold=dataset.fold,
    )


def _split(dataset: Dataset, name: str, table: Any) -> SplitCard:
    split = dataset.split(name)
    return SplitCard(split.rows, split.patients, split.labels, census.take(table))


def _shared(tables: Mapping[str, Any]) -> Iterator[Shared]:
    patients = {name: table.column("patient_id").to_pylist() for name, table in tables.items()}
    files = {
        name: {digest for digest in table.column("sha256").to_pylist() if digest}
        for name, table in tables.items()
    }
    for first, second in combinations(tables, 2):
        both = {*patients[first]} & {*patients[second]}
        films = sum(patient in both for patient in patients[second])
        yield Shared(first, second, len(both), films, len(files[first] & files[second]))

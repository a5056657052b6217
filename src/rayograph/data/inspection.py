"""Looking into a packed dataset: what it holds, and whether every byte is as it was packed."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Manifest, Split
from rayograph.errors import Failure


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds; `labels` counts the films that have each class, or label.

    `unknown` counts those in which it is uncertain or missing; `prevalence` leaves them out.
    """

    films: int
    patients: int
    shards: int
    record_batches: int
    bytes: int
    labels: Mapping[str, int]
    unknown: Mapping[str, int]
    prevalence: Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """What a dataset holds; `values` says what its samples look like, and their statistics."""

    uri: str
    manifest: Manifest
    values: Mapping[str, str | float]
    splits: Mapping[str, SplitSummary]

    def to_json(self) -> dict[str, Any]:
        """What `inspect --json` prints: the manifest without its shards, and the sums."""
        found = self.manifest.model_dump(mode="json", exclude={"parts", "splits"})
        splits = {name: asdict(split) for name, split in self.splits.items()}
        return {"uri": self.uri, **found, "values": dict(self.values), "splits": splits}


def verify(dataset: Dataset) -> None:
    """Read every shard and compare its sha256; `Failure` names the first that differs."""
    for part in dataset.manifest.parts.values():
        for shard in part.shards:
            uri = dataset.place(shard)
            found = hashlib.sha256(storage.read(uri)).hexdigest()
            if found != shard.sha256:
                raise Failure(
                    f"{uri}: sha256 {found}, expected {shard.sha256}; it is damaged: pack again"
                )


def summary(dataset: Dataset) -> Summary:
    """Samples, patients, bytes and prevalence of each split, or fold; values of the first."""
    folds = {name: Split({name: dataset.manifest.parts[name]}) for name in dataset.manifest.folds}
    splits = folds | {name: dataset.split(name) for name in dataset.splits}
    values = dataset.inputs.describe(next(iter(splits.values())).moments)
    return Summary(dataset.uri, dataset.manifest, values, {n: _of(s) for n, s in splits.items()})


def _of(split: Split) -> SplitSummary:
    counts = split.labels
    return SplitSummary(
        films=split.rows,
        patients=split.patients,
        shards=len(split.shards),
        record_batches=len(split.batches),
        bytes=sum(shard.bytes for shard in split.shards),
        labels={name: each.present for name, each in counts.items()},
        unknown={name: each.uncertain + each.missing for name, each in counts.items()},
        prevalence={name: each.prevalence for name, each in counts.items()},
    )

"""Looking into a packed dataset: what it holds, and whether every byte is as it was packed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rayograph import storage
from rayograph.data import census, index, sampling
from rayograph.data.census import Census
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Manifest, Split
from rayograph.data.recipe import TableRecipe
from rayograph.errors import Failure
from rayograph.task.estimate import hanley_mcneil

AUROC = 0.9  # for which the width of the test's interval is foretold
SHOWN, ODD, SIDE = 14, 7, 128  # films of the picture, suspected inverted ones, pixels at most


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
class Look:
    """What some films look like: `levels` counts gray levels 0 to 255 of `films` of them.

    `shown` are a few [n, side, side], and `inverted` the first that are suspected to be.
    """

    films: int
    levels: Sequence[int]
    shown: npt.NDArray[np.uint8] = field(repr=False)
    inverted: npt.NDArray[np.uint8] = field(repr=False)


@dataclass(frozen=True)
class Summary:
    """What a dataset holds; `values` says what its samples look like, and their statistics.

    `auroc` has for each class, or label, half the width of the 95 % interval that an AUROC of
    `auroc_assumed` on the test split will have (Hanley and McNeil), None where it is undefined;
    `missing`, of records, the share of each column's values that are missing; `look` is None of
    what cannot be seen.
    """

    uri: str
    manifest: Manifest
    values: Mapping[str, str | float]
    splits: Mapping[str, SplitSummary]
    census: Census
    rejects: Mapping[str, int]
    auroc: Mapping[str, float | None]
    auroc_assumed: float
    missing: Mapping[str, float]
    look: Look | None

    def to_json(self) -> dict[str, Any]:
        """What `inspect --json` prints: the manifest without its shards, and the sums."""
        found = self.manifest.model_dump(mode="json", exclude={"parts", "splits"})
        splits = {name: asdict(split) for name, split in self.splits.items()}
        more: dict[str, Any] = {
            "index": asdict(self.census),
            "rejects": dict(self.rejects),
            "test_auroc_interval": {"auroc": self.auroc_assumed, "half_width": dict(self.auroc)},
        }
        if self.missing:
            more["missing"] = dict(self.missing)
        if self.look:
            more["gray_levels"] = {"films": self.look.films, "counts": list(self.look.levels)}
        return {"uri": self.uri, **found, "values": dict(self.values), "splits": splits, **more}


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
    """What `inspect` shows: all but the look of samples is of every one; values of the first split.

    `Failure` where the dataset's tables or the samples that are looked at cannot be read.
    """
    folds = {name: Split({name: dataset.manifest.parts[name]}) for name in dataset.manifest.folds}
    splits = folds | {name: dataset.split(name) for name in dataset.splits}
    table = index.every(dataset)
    return Summary(
        uri=dataset.uri,
        manifest=dataset.manifest,
        values=dataset.inputs.describe(next(iter(splits.values())).moments),
        splits={name: _of(split) for name, split in splits.items()},
        census=census.take(table),
        rejects=census.kinds(index.reasons(dataset)),
        auroc=auroc_widths(splits["test"])
        if "test" in splits
        else dict.fromkeys(dataset.manifest.classes),
        auroc_assumed=AUROC,
        missing=_missing(dataset.manifest),
        look=_look(dataset, table),
    )


def auroc_widths(test: Split) -> dict[str, float | None]:
    """Half the width of the 95 % interval that an AUROC of `AUROC` will have, by class or label.

    None where the split has none of one kind. Source: `hanley_mcneil`.
    """
    return {
        name: hanley_mcneil(AUROC, each.present, each.absent) for name, each in test.labels.items()
    }


def _missing(manifest: Manifest) -> dict[str, float]:
    if not isinstance(manifest.recipe, TableRecipe):
        return {}
    every = Split(manifest.parts)
    known = zip(manifest.recipe.columns, every.moments.counts, strict=True)
    return {column.name: 1 - count / max(every.rows, 1) for column, count in known}


def _look(dataset: Dataset, table: Any) -> Look | None:
    samples = dataset.inputs.pictures(sampling.first(dataset))
    if not len(samples):
        return None
    odd: list[int] = []
    if table.column_names.count("inverted") == 1:
        told = table.column("inverted").to_pylist()
        odd = [row for row, value in enumerate(told) if census.flagged(value)][:ODD]
    every = np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).astype(int)
    step = max(1, samples.shape[1] // SIDE)
    levels = np.zeros(256, np.int64)
    for film in samples:
        levels += np.bincount(film.ravel(), minlength=256)
    return Look(
        films=len(samples),
        levels=levels.tolist(),
        shown=samples[every][:, ::step, ::step],
        inverted=(sampling.at(dataset, table, odd) if odd else samples[:0])[:, ::step, ::step],
    )


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

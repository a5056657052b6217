"""`dataset.json`: what a packed dataset says of itself. Layout and contracts: docs/formats.md.

It is read from storage, so nothing is trusted: all that memory is taken for is held to what `pack`
writes, before anything else looks at it.
"""

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, FailFast, Field, model_validator

from rayograph.data import moments
from rayograph.data.inputs import AnyInputs
from rayograph.data.moments import Moments
from rayograph.data.recipe import Recipe

VERSION = 2
SPLITS = ("train", "val", "test")
PART = r"(?:train|val|test|fold-1?[0-9])"
MOST_ROWS = 128  # of a record batch
MOST_BYTES = 2**22  # of the decoded samples of a record batch with several; `pack` writes no more
LONGEST_IDS, FRAME_BYTES = 8192, 65_536  # of a sample and of a record batch, beside its samples
MOST_CLASSES = 1000  # of which a head of a few numbers in a file would be gigabytes in memory

Count = Annotated[int, Field(ge=0, le=2**53)]
SplitName = Annotated[str, Field(pattern="^(train|val|test)$")]
PartName = Annotated[str, Field(pattern=rf"^{PART}$")]
TaskName = Literal["multiclass", "multilabel"]
Classes = Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_CLASSES)]


class RecordBatch(BaseModel, frozen=True, extra="forbid"):
    """One ranged read: where it lies in its shard, and the hash of its bytes."""

    offset: Count
    bytes: Annotated[int, Field(gt=0)]
    rows: Annotated[int, Field(gt=0, le=MOST_ROWS)]
    xxh3: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Shard(BaseModel, frozen=True, extra="forbid"):
    """One object of record batches."""

    path: Annotated[str, Field(pattern=rf"^{PART}/[0-9]{{5}}\.arrows$")]
    rows: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    batches: Annotated[tuple[RecordBatch, ...], FailFast()]

    @model_validator(mode="after")
    def _adds_up(self) -> "Shard":
        if sum(batch.rows for batch in self.batches) != self.rows:
            raise ValueError(f"{self.path}: its batches do not add up to {self.rows} rows")
        if any(batch.offset + batch.bytes > self.bytes for batch in self.batches):
            raise ValueError(f"{self.path}: a batch reaches past its {self.bytes} bytes")
        return self


class LabelCounts(BaseModel, frozen=True, extra="forbid"):
    """How many samples have a class, have it not, and of how many it is not known."""

    present: Count
    absent: Count
    uncertain: Count = 0
    missing: Count = 0

    @property
    def samples(self) -> int:
        """All of them."""
        return self.present + self.absent + self.uncertain + self.missing

    @property
    def prevalence(self) -> float:
        """The share of samples that have it, among those of which it is known; 0 of none."""
        return self.present / max(self.present + self.absent, 1)

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        own, others = self.model_dump(), other.model_dump()
        return LabelCounts(**{state: own[state] + others[state] for state in own})


class Part(BaseModel, frozen=True, extra="forbid"):
    """What is never divided: its shards in stored order, and what adds up over parts."""

    shards: Annotated[tuple[Shard, ...], FailFast()]
    patients: Count
    labels: dict[str, LabelCounts]
    moments: Moments

    @cached_property
    def rows(self) -> int:
        """Samples in this part."""
        return sum(shard.rows for shard in self.shards)


class Split:
    """Parts that are read as one: their record batches in stored order, and their sums."""

    def __init__(self, parts: dict[str, Part]) -> None:
        self.parts = parts
        self.shards = tuple(shard for part in parts.values() for shard in part.shards)
        self.batches = tuple((shard, batch) for shard in self.shards for batch in shard.batches)
        self.batch_rows: npt.NDArray[np.int64] = np.array(
            [batch.rows for _, batch in self.batches], dtype=np.int64
        )
        self.rows = int(self.batch_rows.sum())

    @property
    def patients(self) -> int:
        """Different patients; no patient is in two parts of a split."""
        return sum(part.patients for part in self.parts.values())

    @property
    def labels(self) -> dict[str, LabelCounts]:
        """How many samples have each class or label, in each of its states."""
        first, *others = (part.labels for part in self.parts.values())
        return {name: sum((each[name] for each in others), first[name]) for name in first}

    @property
    def moments(self) -> Moments:
        """Of all values."""
        return moments.total(part.moments for part in self.parts.values())


class Finding(BaseModel, frozen=True, extra="forbid"):
    """Something a reader of the results should know; never an error."""

    kind: str
    message: str
    films: tuple[str, ...] = ()


class Manifest(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """`dataset.json`."""

    format_version: Literal[2] = 2
    name: str
    task: TaskName
    classes: Classes
    inputs: AnyInputs
    recipe: Recipe
    parts: dict[PartName, Part]
    splits: dict[SplitName, tuple[PartName, ...]]
    findings: tuple[Finding, ...] = ()
    ignored: dict[str, Count] = {}
    rejected: Count = 0
    salted: str | None = None  # what one salt makes of one word: films added later need the same
    fingerprint: str = ""

    @model_validator(mode="after")
    def _fits(self) -> "Manifest":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class appears twice")
        if self.task == "multiclass" and len(self.classes) < 2 and "train" in self.splits:
            raise ValueError("a classifier needs two classes or more")
        if self.inputs.shape != self.recipe.shape:
            raise ValueError("its inputs are not of the shape that its recipe makes")
        if not self.splits and not self.folds:
            raise ValueError("it has neither splits nor folds")
        if self.folds and ({"train", "val"} & set(self.splits) or len(self.folds) < 2):
            raise ValueError("a fold is for training or for validation, as a run says")
        for name, parts in self.splits.items():
            if not parts or len(set(parts)) < len(parts) or not set(parts) <= set(self.parts):
                raise ValueError(f"the split {name} must be different parts of {list(self.parts)}")
        for name, part in self.parts.items():
            if set(part.labels) != set(self.classes) or any(
                counts.samples != part.rows for counts in part.labels.values()
            ):
                raise ValueError(f"{name}: its labels do not count its samples by class")
            if not self.inputs.possible(part.moments, part.rows):
                raise ValueError(f"{name}: no samples of its kind have these moments")
            self._check_sizes(part)
        return self

    @property
    def folds(self) -> tuple[str, ...]:
        """The parts that take turns in validation."""
        return tuple(
            sorted(
                (name for name in self.parts if name.startswith("fold-")),
                key=lambda name: int(name[5:]),
            )
        )

    def split_parts(self, fold: int | None) -> dict[str, tuple[str, ...]]:
        """The parts of each split; with a fold for validation the other folds are for training."""
        if fold is None or not self.folds:
            return dict(self.splits)
        val = f"fold-{fold}"
        train = tuple(name for name in self.folds if name != val)
        return {"train": train, "val": (val,), **self.splits}

    def _check_sizes(self, part: Part) -> None:
        sample = self.inputs.dtype.itemsize * int(np.prod(self.inputs.shape))
        for shard in part.shards:
            for batch in shard.batches:
                decoded = batch.rows * sample
                if (batch.rows > 1 and decoded > MOST_BYTES) or (
                    batch.bytes > 2 * decoded + batch.rows * LONGEST_IDS + FRAME_BYTES
                ):
                    raise ValueError(f"{shard.path}: the record batch at {batch.offset} is too big")

    def computed_fingerprint(self) -> str:
        """A hash over all that training depends on: samples, labels, order, classes, recipe."""
        depends: dict[str, Any] = {
            "format": self.format_version,
            "task": self.task,
            "classes": self.classes,
            "inputs": self.inputs.model_dump(),
            "recipe": self.recipe.model_dump(),
            "splits": {name: list(parts) for name, parts in sorted(self.splits.items())},
            "parts": {
                name: [
                    part.moments.model_dump(),
                    *((b.rows, b.xxh3) for shard in part.shards for b in shard.batches),
                ]
                for name, part in sorted(self.parts.items())
            },
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()

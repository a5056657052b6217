"""The packed dataset: what `dataset.json` says, and where a reader finds each film.

Layout and contracts: docs/formats.md. Everything here is read from storage, so nothing is trusted:
the manifest is validated as a whole before anything else looks at it.
"""

import hashlib
import json
import re
import struct
from collections import deque
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash
from pydantic import BaseModel, FailFast, Field, ValidationError, model_validator

from rayograph import storage
from rayograph.data.cache import Cache
from rayograph.data.codec import arrow_type
from rayograph.data.message import compressed
from rayograph.errors import Failure, UserError, one_line

MANIFEST = "dataset.json"
INDEX = "index.parquet"
REJECTED = "rejected.parquet"
CONTACT_SHEET = "contact_sheet.png"
SPLITS = ("train", "val", "test")
OWN = re.compile(
    rf"({MANIFEST}|{INDEX}|{REJECTED}|{CONTACT_SHEET}|({'|'.join(SPLITS)})/\d{{5}}\.arrows)"
)  # what a packed dataset consists of; nothing else below its prefix is ever deleted

MOST_ROWS = 128  # of a record batch
MOST_PIXELS = 2**22  # of a record batch of several films; what `pack` writes has no more
LONGEST_IDS, FRAME_BYTES = 8192, 65_536  # of a film and of a record batch, beside the pixels
MOST_CLASSES = 1000  # of which a head of a few numbers in a file would be gigabytes in memory

Count = Annotated[int, Field(ge=0, le=2**53)]


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """Preprocessing, from an original to a packed film; a model refuses another recipe."""

    size: Annotated[int, Field(ge=16, le=4096)]
    resize: Literal["crop", "fit"]
    orientation: Literal["exif"] = "exif"
    gray: Literal["bt601"] = "bt601"
    range: Literal["bits in use"] = "bits in use"
    resample: Literal["lanczos"] = "lanczos"

    def difference(self, other: "Recipe") -> str | None:
        """The first field that differs, as `field: mine, not theirs`; None where none does."""
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name}: {mine}, not {theirs}"
        return None


class RecordBatch(BaseModel, frozen=True, extra="forbid"):
    """One ranged read: where it lies in its shard, and the hash of its bytes."""

    offset: Count
    bytes: Annotated[int, Field(gt=0)]
    rows: Annotated[int, Field(gt=0, le=MOST_ROWS)]
    xxh3: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Shard(BaseModel, frozen=True, extra="forbid"):
    """One object of record batches."""

    path: Annotated[str, Field(pattern=r"^(train|val|test)/[0-9]{5}\.arrows$")]
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


class Split(BaseModel, frozen=True, extra="forbid"):
    """The shards of one split, in stored order."""

    shards: Annotated[tuple[Shard, ...], FailFast()]
    patients: Count
    labels: dict[str, Count]

    @cached_property
    def rows(self) -> int:
        """Films in this split."""
        return sum(shard.rows for shard in self.shards)

    @cached_property
    def batches(self) -> tuple[tuple[Shard, RecordBatch], ...]:
        """Every record batch with its shard, in stored order."""
        return tuple((shard, batch) for shard in self.shards for batch in shard.batches)

    @cached_property
    def batch_rows(self) -> npt.NDArray[np.int64]:
        """Rows of every record batch, in stored order."""
        return np.array([batch.rows for _, batch in self.batches], dtype=np.int64)


class Finding(BaseModel, frozen=True, extra="forbid"):
    """Something a reader of the results should know; never an error."""

    kind: str
    message: str
    films: tuple[str, ...] = ()


class Manifest(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """`dataset.json`."""

    format_version: Literal[1] = 1
    name: str
    task: Literal["multiclass"] = "multiclass"
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MOST_CLASSES)]
    recipe: Recipe
    channels: Literal[1] = 1
    codec: Literal["raw", "jpeg"] = "raw"
    quality: Annotated[int, Field(ge=1, le=100)] | None = None
    mean: Annotated[float, Field(ge=0, le=1)]
    std: Annotated[float, Field(gt=0, le=1)]
    splits: dict[Literal["train", "val", "test"], Split]
    findings: tuple[Finding, ...] = ()
    ignored: dict[str, Count] = {}
    rejected: Count = 0
    fingerprint: str = ""

    @model_validator(mode="after")
    def _fits(self) -> "Manifest":
        """Hold all that memory is taken for, before a byte is read, to what `pack` writes."""
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("a class stands twice")
        size = self.recipe.size**2
        for name, split in self.splits.items():
            if set(split.labels) != set(self.classes) or sum(split.labels.values()) != split.rows:
                raise ValueError(f"{name}: its labels do not count its films by class")
            for shard, batch in split.batches:
                pixels = batch.rows * size
                if (batch.rows > 1 and pixels > MOST_PIXELS) or (
                    batch.bytes > 2 * pixels + batch.rows * LONGEST_IDS + FRAME_BYTES
                ):
                    raise ValueError(f"{shard.path}: the record batch at {batch.offset} is too big")
        return self

    def computed_fingerprint(self) -> str:
        """A hash over all that training depends on: pixels, labels, order, classes, recipe."""
        depends = {
            "format": self.format_version,
            "classes": self.classes,
            "recipe": self.recipe.model_dump(),
            "codec": self.codec,
            "mean": self.mean,
            "std": self.std,
            "batches": {
                name: [(batch.rows, batch.xxh3) for _, batch in split.batches]
                for name, split in sorted(self.splits.items())
            },
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


class Dataset:
    """A packed dataset that lies in storage."""

    def __init__(self, uri: str, manifest: Manifest, cache: Cache | None) -> None:
        self.uri = uri
        self.manifest = manifest
        self.cache = cache
        self.memory: deque[bytearray] = deque()  # of record batches; fresh memory costs as much
        # as a third of receiving into it, so that readers of all splits and epochs share this

    @cached_property
    def largest_batch(self) -> int:
        """Bytes of the largest record batch."""
        parts = self.manifest.splits.values()
        return max(batch.bytes for part in parts for _, batch in part.batches)

    @cached_property
    def schema(self) -> Any:
        """The Arrow schema of its shards."""
        return schema(self.manifest.recipe, self.manifest.codec)

    @classmethod
    def open(cls, uri: str, cache: Cache | None = None) -> "Dataset":
        """Read and check `dataset.json`; `UserError` where there is none or it is not one.

        `cache` keeps what is read of it on this node's disk.
        """
        uri = storage.absolute(uri)
        place = storage.join(uri, MANIFEST)
        try:
            text = storage.fetch(place)
        except storage.NotFoundError:
            raise UserError(
                f"{uri}: no packed dataset ({MANIFEST} is missing); make one with "
                f"`rayograph pack SOURCE {uri}`"
            ) from None
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"{place}: not a packed dataset: {one_line(error)}") from None
        if manifest.fingerprint != manifest.computed_fingerprint():
            raise UserError(f"{place}: its fingerprint does not fit its content; pack again")
        return cls(uri, manifest, None if storage.is_local(uri) else cache)

    def split(self, name: str) -> Split:
        """One split; `UserError` where the dataset has none of that name."""
        found = self.manifest.splits.get(name)  # type: ignore[call-overload]
        if not isinstance(found, Split) or not found.rows:
            known = ", ".join(self.manifest.splits)
            raise UserError(f"{self.uri}: no films in split {name}; it has {known}")
        return found

    def place(self, shard: Shard) -> str:
        """The URI of a shard."""
        return storage.join(self.uri, shard.path)

    def parse(self, data: memoryview, shard: Shard, batch: RecordBatch) -> Any:
        """The `pyarrow.RecordBatch` in the verified bytes of a record batch, which it looks into.

        `Failure` where they are none of this dataset's.
        """
        where = self.where(shard, batch)
        try:
            if compressed(data):  # a few bytes would become any number of them
                raise Failure(f"{where} is compressed; pack again")
            found = pa.ipc.read_record_batch(pa.py_buffer(data), self.schema)
            found.validate(full=True)
        except (pa.ArrowException, OSError, EOFError, struct.error) as error:
            raise Failure(f"{where} cannot be read: {one_line(error)}; pack again") from None
        if found.num_rows != batch.rows or any(column.null_count for column in found.columns):
            raise Failure(f"{where} does not hold {batch.rows} films; pack again")
        labels = np.frombuffer(found.column("label").buffers()[1], np.int32, batch.rows)
        if labels.min() < 0 or labels.max() >= len(self.manifest.classes):
            raise Failure(f"{where} has a label that is no class; pack again")
        return found

    def where(self, shard: Shard, batch: RecordBatch) -> str:
        """A record batch, as an error names it."""
        return f"{self.place(shard)}: record batch at {batch.offset}"


def digest(data: memoryview | bytes) -> str:
    """The hash that a record batch is verified by."""
    return xxhash.xxh3_64_hexdigest(data)


def schema(recipe: Recipe, codec: str) -> Any:
    """The Arrow schema of a shard."""
    return pa.schema(
        [
            ("image", arrow_type(codec, recipe.size)),
            ("sample_id", pa.string()),
            ("patient_id", pa.string()),
            ("label", pa.int32()),
        ]
    )

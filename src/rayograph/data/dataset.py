"""The packed dataset: what `dataset.json` says, and where a reader finds each film.

Layout and contracts: docs/formats.md. Everything here is read from storage, so nothing is trusted:
the manifest is validated as a whole before anything else looks at it.
"""

import hashlib
import io
import json
import re
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import BaseModel, Field, ValidationError, model_validator

from rayograph import storage
from rayograph.errors import Failure, UserError

MANIFEST = "dataset.json"
INDEX = "index.parquet"
REJECTED = "rejected.parquet"
CONTACT_SHEET = "contact_sheet.png"
SPLITS = ("train", "val", "test")
OWN = re.compile(
    rf"({MANIFEST}|{INDEX}|{REJECTED}|{CONTACT_SHEET}|({'|'.join(SPLITS)})/\d{{5}}\.arrows)"
)  # what a packed dataset consists of; nothing else below its prefix is ever deleted

Count = Annotated[int, Field(ge=0)]


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
    rows: Annotated[int, Field(gt=0)]
    xxh3: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Shard(BaseModel, frozen=True, extra="forbid"):
    """One object of record batches."""

    path: Annotated[str, Field(pattern=r"^(train|val|test)/\d{5}\.arrows$")]
    rows: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    batches: tuple[RecordBatch, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> "Shard":
        if sum(batch.rows for batch in self.batches) != self.rows:
            raise ValueError(f"{self.path}: its batches do not add up to {self.rows} rows")
        if any(batch.offset + batch.bytes > self.bytes for batch in self.batches):
            raise ValueError(f"{self.path}: a batch reaches past its {self.bytes} bytes")
        return self


class Split(BaseModel, frozen=True, extra="forbid"):
    """The shards of one split, in stored order."""

    shards: tuple[Shard, ...]
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


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """`dataset.json`."""

    format_version: Literal[1] = 1
    name: str
    task: Literal["multiclass"] = "multiclass"
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    recipe: Recipe
    channels: Literal[1] = 1
    codec: Literal["raw"] = "raw"
    mean: Annotated[float, Field(ge=0, le=1)]
    std: Annotated[float, Field(gt=0, le=1)]
    splits: dict[Literal["train", "val", "test"], Split]
    findings: tuple[Finding, ...] = ()
    ignored: dict[str, Count] = {}
    rejected: Count = 0
    fingerprint: str = ""

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

    def __init__(self, uri: str, manifest: Manifest) -> None:
        self.uri = uri
        self.manifest = manifest

    @classmethod
    def open(cls, uri: str) -> "Dataset":
        """Read and check `dataset.json`; `UserError` where there is none or it is not one."""
        uri = storage.absolute(uri)
        place = storage.join(uri, MANIFEST)
        try:
            text = storage.read(place)
        except storage.NotFoundError:
            raise UserError(
                f"{uri}: no packed dataset ({MANIFEST} is missing); make one with "
                f"`rayograph pack SOURCE {uri}`"
            ) from None
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{place}: not a packed dataset: {where}: {first['msg']}") from None
        if manifest.fingerprint != manifest.computed_fingerprint():
            raise UserError(f"{place}: its fingerprint does not fit its content; pack again")
        return cls(uri, manifest)

    def split(self, name: str) -> Split:
        """One split; `UserError` where the dataset has none of that name."""
        found = self.manifest.splits.get(name)  # type: ignore[call-overload]
        if not isinstance(found, Split) or not found.rows:
            known = ", ".join(self.manifest.splits)
            raise UserError(f"{self.uri}: no films in split {name}; it has {known}")
        return found

    def index(self, split: str) -> Any:
        """The rows of `index.parquet` of one split in stored order, as a `pyarrow.Table`."""
        data = storage.read(storage.join(self.uri, INDEX))
        table = pq.read_table(io.BytesIO(data), filters=[("split", "=", split)])
        expected = self.split(split).rows
        if table.num_rows != expected:
            raise Failure(f"{self.uri}: {INDEX} has {table.num_rows} {split} films, not {expected}")
        return table

    def fetch(self, shard: Shard, batch: RecordBatch) -> Any:
        """One verified record batch from storage, as a `pyarrow.RecordBatch`."""
        uri = storage.join(self.uri, shard.path)
        data = storage.read_range(uri, batch.offset, batch.bytes)
        found = xxhash.xxh3_64_hexdigest(data)
        if found != batch.xxh3:
            raise Failure(
                f"{uri}: record batch at {batch.offset}: xxh3 {found}, expected {batch.xxh3}; "
                "the object is damaged: pack again"
            )
        return pa.ipc.read_record_batch(pa.py_buffer(data), schema(self.manifest.recipe))


def schema(recipe: Recipe) -> Any:
    """The Arrow schema of a shard of raw films."""
    return pa.schema(
        [
            ("image", pa.binary(recipe.size * recipe.size)),
            ("sample_id", pa.string()),
            ("patient_id", pa.string()),
            ("label", pa.int32()),
        ]
    )


def pixels(batch: Any, recipe: Recipe) -> npt.NDArray[np.uint8]:
    """The films of a record batch without copying: uint8 of shape [rows, size, size]."""
    column = batch.column("image")
    size = recipe.size
    flat = np.frombuffer(column.buffers()[1], dtype=np.uint8, count=len(column) * size * size)
    return flat.reshape(len(column), size, size)

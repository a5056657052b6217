"""A packed dataset in storage: opened, its splits, its record batches checked and parsed."""

import re
import struct
from collections import deque
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import ValidationError

from rayograph import storage
from rayograph import task as tasks
from rayograph.config import DataOptions, EvaluateOptions
from rayograph.data.cache import Cache
from rayograph.data.inputs import Inputs
from rayograph.data.manifest import PART, VERSION, Manifest, RecordBatch, Shard, Split
from rayograph.data.message import compressed
from rayograph.data.recipe import TransformSpec, fitted
from rayograph.errors import Failure, UserError, one_line
from rayograph.task import Labels, Task

MANIFEST = "dataset.json"
INDEX = "index.parquet"
REJECTED = "rejected.parquet"
CONTACT_SHEET = "contact_sheet.png"
LOOKALIKES = "lookalikes.png"
OWN = re.compile(
    rf"({MANIFEST}|{INDEX}|{REJECTED}|{CONTACT_SHEET}|{LOOKALIKES}|{PART}/\d{{5}}\.arrows)"
)  # what a packed dataset consists of; nothing else below its prefix is ever deleted
FORMAT = re.compile(rb'"format_version":\s*(\d{1,9})\b')


class Dataset:
    """A packed dataset that lies in storage."""

    def __init__(
        self, uri: str, manifest: Manifest, cache: Cache | None, fold: int | None = None
    ) -> None:
        self.uri = uri
        self.manifest = manifest
        self.fold = fold
        self.cache = cache
        self.memory: deque[bytearray] = deque()  # of record batches; fresh memory costs as much
        # as a third of receiving into it, so that readers of all splits and epochs share this

    @classmethod
    def open(cls, uri: str, cache: Cache | None = None, fold: int | None = None) -> "Dataset":
        """Read and check `dataset.json`; `UserError` where there is none or it is not one.

        `cache` keeps what is read of it on this node's disk; `fold` is the one for validation.
        """
        uri = storage.absolute(uri)
        place = storage.join(uri, MANIFEST)
        try:
            text = storage.fetch(place)
        except storage.NotFoundError:
            raise UserError(
                f"{uri}: no packed dataset ({MANIFEST} is missing); make one with "
                f"`rayograph pack SOURCE {uri}`, or say where it is now (data.uri=, or --data)"
            ) from None
        version = FORMAT.search(text)
        if version and int(version[1]) != VERSION:
            told = f"has format version {int(version[1])}, this rayograph reads {VERSION}"
            raise UserError(f"{place}: {told}; pack again")
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f"{place}: not a packed dataset: {one_line(error)}") from None
        if manifest.fingerprint != manifest.computed_fingerprint():
            raise UserError(f"{place}: its fingerprint does not match its content; pack again")
        return cls(uri, manifest, None if storage.is_local(uri) else cache).at_fold(fold)

    def at_fold(self, fold: int | None) -> "Dataset":
        """The same dataset with this fold for validation; `UserError` where it has none such."""
        if fold is not None and f"fold-{fold}" not in self.manifest.parts:
            folds = len(self.manifest.folds)
            has = f"its folds are 0 to {folds - 1}" if folds else "pack it with pack.folds=5"
            raise UserError(f"data.fold={fold}: {self.uri} has no such fold; {has}")
        return type(self)(self.uri, self.manifest, self.cache, fold)

    @cached_property
    def task(self) -> Task:
        """What its labels mean."""
        return tasks.of(self.manifest.task, self.manifest.classes)

    def transform(self, options: DataOptions, judged: EvaluateOptions) -> TransformSpec:
        """From its samples to what a model sees; fitted to the training split."""
        return fitted(self.manifest.recipe, self.split("train").moments, options, judged)

    @property
    def inputs(self) -> Inputs:
        """What its samples look like."""
        return self.manifest.inputs

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """The parts of each split."""
        return self.manifest.split_parts(self.fold)

    @cached_property
    def _splits(self) -> dict[str, Split]:
        every = self.manifest.parts
        return {
            name: Split({part: every[part] for part in parts})
            for name, parts in self.splits.items()
        }

    def split(self, name: str) -> Split:
        """One split; `UserError` where the dataset has none of that name."""
        found = self._splits.get(name)
        if found is None or not found.rows:
            known = ", ".join(self._splits)
            if self.manifest.folds and self.fold is None and name in ("train", "val"):
                last = len(self.manifest.folds) - 1
                raise UserError(
                    f"{self.uri}: is packed in folds; say which validates: data.fold=0 to {last}"
                )
            if name == "train":  # as pack.split=test leaves it
                known += ", so that models can be judged by it and not trained on it"
            raise UserError(f"{self.uri}: no films in split {name}; it has {known}")
        return found

    @cached_property
    def largest_batch(self) -> int:
        """Bytes of the largest record batch."""
        parts = self.manifest.parts.values()
        return max(b.bytes for part in parts for shard in part.shards for b in shard.batches)

    @cached_property
    def schema(self) -> Any:
        """The Arrow schema of its shards."""
        return schema(self.inputs, len(self.manifest.classes))

    def place(self, shard: Shard) -> str:
        """The URI of a shard."""
        return storage.join(self.uri, shard.path)

    def parse(self, data: memoryview, shard: Shard, batch: RecordBatch) -> tuple[Any, Labels]:
        """The `pyarrow.RecordBatch` in the verified bytes of a record batch, which it looks into.

        And its labels, int8 [n, k]. `Failure` where they are none of this dataset's.
        """
        where = self.where(shard, batch)
        try:
            if compressed(data):  # a few bytes would become any number of them
                raise Failure(f"{where} is compressed; pack again")
            found = pa.ipc.read_record_batch(pa.py_buffer(data), self.schema)
            found.validate(full=True)
        except (pa.ArrowException, OSError, EOFError, struct.error) as error:
            raise Failure(f"{where} cannot be read: {one_line(error)}; pack again") from None
        values = found.column("label").values
        if found.num_rows != batch.rows or any(c.null_count for c in (*found.columns, values)):
            raise Failure(f"{where} does not hold {batch.rows} films; pack again")
        labels = np.frombuffer(values.buffers()[1], np.int8, len(values), values.offset)
        labels = labels.reshape(batch.rows, -1)
        if not self.task.valid(labels):
            raise Failure(f"{where} has an invalid label; pack again")
        return found, labels

    def where(self, shard: Shard, batch: RecordBatch) -> str:
        """A record batch, as an error names it."""
        return f"{self.place(shard)}: record batch at {batch.offset}"


def digest(data: memoryview | bytes) -> str:
    """The hash that a record batch is verified by."""
    return xxhash.xxh3_64_hexdigest(data)


def schema(inputs: Inputs, classes: int) -> Any:
    """The Arrow schema of a shard: samples, ids, and for each class 1, 0, -1 or -2."""
    return pa.schema(
        [
            (inputs.column, inputs.arrow_type),
            ("sample_id", pa.string()),
            ("patient_id", pa.string()),
            ("label", pa.list_(pa.int8(), classes)),
        ]
    )

"""Every original is read and decoded once, before anything is decided, and what it gave is kept.

A task reads some originals and leaves two objects below `DEST/.pack/`: their samples, a record
batch each, and last a table of what was seen (`SEEN`). So a pack that was interrupted goes on: what
a table is there for is not read again. Memory holds the tables, and no samples.
"""

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayograph import storage
from rayograph.data.inputs import Inputs
from rayograph.data.recipe import Recipe
from rayograph.pack.ahead import ahead, changed
from rayograph.pack.decode import UnusableError, decode, identity
from rayograph.pack.lookalikes import looks as looks_of
from rayograph.pack.looks import Looks
from rayograph.pack.mapper import Mapper
from rayograph.pack.pseudonyms import Pseudonyms, missing
from rayograph.pack.sources import Original, Source, SourceItem

FOLDER = ".pack"
CHUNK = 128  # originals of one task
STUDY = {"StudyDate": "study_date", "StudyInstanceUID": "study"}  # metadata, as pseudonyms
SEEN = pa.schema(
    [
        ("sample_id", pa.string()),  # its name, without what tells who the patient is
        ("source", pa.string()),
        ("origin", pa.string()),  # the pseudonym of the whole name, where it was scrubbed
        ("sha256", pa.string()),
        ("problem", pa.string()),  # why it is of no use
        ("patient", pa.string()),
        ("private", pa.list_(pa.string())),  # marks of what its header says of its patient
        ("key", pa.string()),  # of the identifier by which a table's rows name films
        ("metadata", pa.string()),  # JSON
        ("look", pa.uint64()),  # the difference hash
        ("thumb", pa.binary()),
        ("offset", pa.int64()),  # where its record batch lies
        ("bytes", pa.int64()),
    ]
)


@dataclass(frozen=True)
class ScanTask:
    """Originals for one process; `place` is what its two objects are called, but for the suffix."""

    place: str
    originals: tuple[Original, ...]
    recipe: Recipe
    inputs: Inputs
    keyword: str | None
    pseudonyms: Pseudonyms | None
    done: bool  # its table was there when the pack began


class Location(NamedTuple):
    """Where the record batch of one sample lies."""

    uri: str
    offset: int
    bytes: int


class Scan:
    """What was seen of all originals, a row each in their order."""

    def __init__(
        self, rows: Any, looks: Sequence[int | None], tasks: Sequence[ScanTask], read: int
    ) -> None:
        self._rows = rows  # as `SEEN`, without hashes and thumbnails
        self.looks = looks  # the place of each row's look; None of what cannot be seen
        self.read = read  # originals that were read now, not by a pack that was interrupted
        self._tasks = tasks

    def rows(self) -> Iterator[dict[str, Any]]:
        """What was seen of each original, as `SEEN`; never all of them at once."""
        for start in range(0, len(self._rows), CHUNK):
            yield from self._rows.slice(start, CHUNK).to_pylist()

    @property
    def private(self) -> set[str]:
        """The marks of all that headers say of patients."""
        every = pc.list_flatten(self._rows.column("private").combine_chunks())
        return set(pc.unique(every).to_pylist())

    def salted(self, pseudonyms: Pseudonyms | None) -> str | None:
        """What tells the salt that identifiers are hidden by; None where there are none."""
        return pseudonyms.check if pseudonyms is not None and self.private else None

    def location(self, row: int) -> Location:
        """Where the sample of a usable original lies."""
        offset, size = (self._rows.column(name)[row].as_py() for name in ("offset", "bytes"))
        return Location(f"{self._tasks[row // CHUNK].place}.samples", offset, size)


def scan(
    source: Source,
    inputs: Inputs,
    dest: str,
    pseudonyms: Pseudonyms | None,
    mapper: Mapper,
    looks: Looks,
) -> Scan:
    """Read and decode every original of a source that no interrupted pack into `dest` has read."""
    folder = storage.join(dest, FOLDER)
    there = {entry.uri for entry in storage.listing(folder)}
    keyword = source.awaiting.keyword if source.awaiting else None
    tasks = []
    for start in range(0, len(source.items), CHUNK):
        originals = tuple(_bare(item) for item in source.items[start : start + CHUNK])
        place = storage.join(folder, _key(originals, source.recipe, inputs, keyword, pseudonyms))
        done = f"{place}.seen" in there
        task = ScanTask(place, originals, source.recipe, inputs, keyword, pseudonyms, done)
        tasks.append(task)
    tables, places, read = [], list[int | None](), 0
    for task, seen in zip(tasks, mapper("reading", scan_chunk, tasks), strict=True):
        for look, thumb in zip(seen.rows.column("look"), seen.rows.column("thumb"), strict=True):
            known = look.is_valid
            places.append(looks.add(look.as_py(), thumb.as_py()) if known else None)
        rest = seen.rows.drop_columns(["look", "thumb"])
        tables.append(rest.take(np.arange(len(rest))))  # a copy: Ray's buffers hold thumbnails, too
        read += len(task.originals) * seen.read
    return Scan(pa.concat_tables(tables).combine_chunks(), places, tasks, read)


def _bare(item: SourceItem) -> Original:
    return Original(sample_id=item.sample_id, uri=item.uri, data=item.data)


def _key(
    originals: Sequence[Original],
    recipe: Recipe,
    inputs: Inputs,
    keyword: str | None,
    pseudonyms: Pseudonyms | None,
) -> str:
    """A name for what becomes of these originals: another recipe, or salt, gives another one."""
    names = [[o.sample_id, o.uri, hashlib.sha256(o.data or b"").hexdigest()] for o in originals]
    salted = pseudonyms and pseudonyms.check
    parts = [recipe.model_dump(mode="json"), str(inputs), keyword, salted, names]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


class Seen(NamedTuple):
    """What a task gives: a table as `SEEN`, and whether its originals were read for it now."""

    rows: Any
    read: bool


def scan_chunk(task: ScanTask) -> Seen:
    """Read each original of a task, unless its table has all of them and none has changed since."""
    if task.done:
        rows = pa.ipc.open_file(pa.py_buffer(storage.read(f"{task.place}.seen"))).read_all()
        unread = rows.column("sha256").null_count  # who may read them may have changed
        if not unread and not changed(task.originals, float(rows.schema.metadata[b"began"])):
            return Seen(rows, read=False)
    began = time.time()
    rows, samples = _scanned(task)
    storage.write(f"{task.place}.samples", samples)
    schema = SEEN.with_metadata({"began": str(began)})
    out = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema)
    with pa.ipc.new_file(out, schema) as file:
        file.write_table(table)
    storage.write(f"{task.place}.seen", out.getvalue())
    return Seen(table, read=True)


def _scanned(task: ScanTask) -> tuple[list[dict[str, Any]], bytes]:
    """The rows of a task, and its samples as record batches, one each."""
    out = io.BytesIO()
    rows = []
    field = pa.schema([(task.inputs.column, task.inputs.arrow_type)])
    for original, read in ahead(task.originals):
        row: dict[str, Any] = {"sample_id": original.sample_id, "source": original.uri}
        rows.append(row)
        if isinstance(read, str):
            row["problem"] = read
            continue
        row["sha256"] = hashlib.sha256(read).hexdigest()
        try:
            decoded = decode(read, task.recipe)
        except UnusableError as error:
            row["problem"] = str(error)
            named, private = identity(read)
        else:
            named, private = decoded.identifiers, decoded.private
            row["metadata"] = json.dumps({**decoded.metadata, **_study(named, task.pseudonyms)})
            samples = np.ascontiguousarray(decoded.values[None])
            batch = pa.record_batch([task.inputs.encoded(samples)], schema=field)
            data = batch.serialize().to_pybytes()
            row |= {"offset": out.tell(), "bytes": len(data)} | _look(task.inputs.pictures(samples))
            out.write(data)
        if private and task.pseudonyms is None:  # their names may tell, too
            raise missing(original.uri)
        row |= _named(named, task) | _scrubbed(row, private, task.pseudonyms)
    return rows, out.getvalue()


def _study(named: Mapping[str, str], pseudonyms: Pseudonyms | None) -> dict[str, str]:
    """The pseudonyms of a film's study and its date."""
    if pseudonyms is None:
        return {}
    return {name: pseudonyms.of(named[word]) for word, name in STUDY.items() if word in named}


def _named(named: Mapping[str, str], task: ScanTask) -> dict[str, str]:
    """The pseudonyms of a film's patient, and of what a table's rows name it by."""
    words = {"patient": "PatientID", "key": task.keyword}
    if task.pseudonyms is None:
        return {}
    return {column: task.pseudonyms.of(named[word]) for column, word in words.items()
            if word is not None and word in named}  # fmt: skip


def _look(pictures: npt.NDArray[np.uint8]) -> dict[str, Any]:
    hashes, thumbs = looks_of(pictures)
    return {"look": int(hashes[0]), "thumb": thumbs[0].tobytes()} if len(hashes) else {}


def _scrubbed(
    row: Mapping[str, Any], private: Sequence[str], pseudonyms: Pseudonyms | None
) -> dict[str, Any]:
    """Name, place and reason without private values; the name's pseudonym, where it had some."""
    if not private or pseudonyms is None:
        return {}
    texts = {name: row[name] for name in ("sample_id", "source", "problem") if name in row}
    found: dict[str, Any] = {n: pseudonyms.scrubbed(text, private) for n, text in texts.items()}
    found["private"] = pseudonyms.marks(private)
    if found["sample_id"] != row["sample_id"]:
        found["origin"] = pseudonyms.of(row["sample_id"])
    return found

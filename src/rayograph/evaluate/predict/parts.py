"""New films in, rows of predictions out, part by part: read, decoded and predicted side by side.

A part is what a worker takes at once. Threads read its films and decode them while others are in
the forward pass. Its rows are kept as an object beside the table that is to
be written, so that predictions that were interrupted go on: a part that is there is not predicted
again, unless one of its films was written since, or could not be read.
"""

import hashlib
import io
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from rayograph import storage
from rayograph.data.inputs import Samples
from rayograph.data.recipe import Recipe
from rayograph.evaluate import ensemble
from rayograph.evaluate.model import LoadedModel, parse
from rayograph.evaluate.predict.rows import PredictionChunk, predict_chunk
from rayograph.pack.ahead import AHEAD, ahead, changed
from rayograph.pack.decode import UnusableError, decode
from rayograph.pack.mapper import Mapper
from rayograph.pack.sources import Original
from rayograph.runs import card as cards
from rayograph.runs.card import ModelCard

PART = 128  # films that a worker takes at once
BATCH = 64  # films of a forward pass: of these the usable ones, whoever predicts them
KEPT = ".rows"  # a part's rows, in Arrow's file format
_loading = threading.Lock()


@dataclass(frozen=True)
class PredictionPart:
    """Originals for one worker; their rows are kept at `place`, if anywhere."""

    originals: tuple[Original, ...]
    place: str | None = None
    done: bool = False  # its rows were there when the command began


def predict(model_uri: str, originals: Sequence[Original], mapper: Mapper) -> Any:
    """All rows in one `pyarrow.Table`, for few originals."""
    predictor = Predictor.of([model_uri])
    found = cut(predictor, originals, None)
    return pa.concat_tables(list(mapper("predicting", predictor, found)))


def cut(
    predictor: "Predictor", originals: Sequence[Original], folder: str | None
) -> list[PredictionPart]:
    """All originals, part by part in their order; rows are kept below `folder`.

    They are kept under a name of the model's and the originals' own. A single part is not kept.
    """
    pieces = [tuple(originals[i : i + PART]) for i in range(0, len(originals), PART)]
    if folder is None or len(pieces) == 1:
        return [PredictionPart(each) for each in pieces]
    there = set(places(folder))
    own = [storage.join(folder, _key(predictor.digest, each) + KEPT) for each in pieces]
    return [
        PredictionPart(each, place, place in there) for each, place in zip(pieces, own, strict=True)
    ]


def places(folder: str) -> list[str]:
    """The places of all parts that are kept below a folder, of whatever model."""
    return [entry.uri for entry in storage.listing(folder) if entry.uri.endswith(KEPT)]


def _key(digest: str, originals: Sequence[Original]) -> str:
    names = [[o.sample_id, o.uri, hashlib.sha256(o.data or b"").hexdigest()] for o in originals]
    return hashlib.sha256(json.dumps([digest, BATCH, names]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Predictor:
    """What workers are given: one model or several, as their files' bytes; each loads them once.

    So all predict by the same models, also where a file is replaced meanwhile.
    """

    uris: tuple[str, ...]
    digest: str  # SHA-256
    card: ModelCard = field(repr=False, compare=False)  # what is true of all
    data: tuple[bytes, ...] = field(repr=False, compare=False)

    @classmethod
    def of(cls, uris: Sequence[str]) -> "Predictor":
        """That of model files; `UserError` where they do not fit to each other."""
        data = tuple(storage.fetch(uri) for uri in uris)
        digests = [hashlib.sha256(each).hexdigest() for each in data]
        known = [cards.of(each, uri) for each, uri in zip(data, uris, strict=True)]
        return cls(tuple(uris), ensemble.digest(digests), ensemble.card(known, uris), data)

    def __call__(self, part: PredictionPart) -> Any:
        """The rows of a part, a `pyarrow.Table`: those that were kept, or predicted now."""
        rows = _before(part) if part.done else None
        if rows is not None:
            return rows
        with _loading:
            tools = _tools(self)
        began, unread = time.time(), [0]
        chunks = _chunks(part.originals, tools.decoders, self.card.recipe, unread)
        with _one_thread():
            rows = pa.concat_tables(
                [predict_chunk(tools.models, self.card, chunk) for chunk in chunks]
            )
        if part.place is not None:
            storage.write(part.place, _packed(rows, began, unread[0]))
        return rows


class _Tools(NamedTuple):
    """A worker's models, and the threads that decode beside them."""

    models: tuple[LoadedModel, ...]
    decoders: ThreadPoolExecutor


@lru_cache(maxsize=1)
def _tools(predictor: Predictor) -> _Tools:
    """On the GPU if the worker has one; as many threads as it has cores, as Ray tells torch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pairs = zip(predictor.data, predictor.uris, strict=True)
    models = tuple(parse(data, uri, device) for data, uri in pairs)
    return _Tools(models, ThreadPoolExecutor(torch.get_num_threads(), "decode"))


@contextmanager
def _one_thread() -> Iterator[None]:
    """The forward pass has one thread of the CPU: sums of several may differ in their last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _chunks(
    originals: Sequence[Original], decoders: ThreadPoolExecutor, recipe: Recipe, unread: list[int]
) -> Iterator[PredictionChunk]:
    """The originals decoded, a forward pass each; counts those that cannot be read."""
    found = _decoded(originals, decoders, recipe, unread)
    for start in range(0, len(originals), BATCH):
        own = originals[start : start + BATCH]
        samples, errors = list[Samples](), list[str | None]()
        for each in islice(found, len(own)):
            errors.append(each if isinstance(each, str) else None)
            if not isinstance(each, str):
                samples.append(each)
        yield PredictionChunk(own, samples, errors)


def _decoded(
    originals: Sequence[Original], decoders: ThreadPoolExecutor, recipe: Recipe, unread: list[int]
) -> Iterator[Samples | str]:
    """Each original's sample, or why there is none; few are held."""
    waiting = deque[Any]()
    for _, read in ahead(originals):
        unread[0] += isinstance(read, str)
        waiting.append(decoders.submit(_sample, read, recipe))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _sample(read: bytes | str, recipe: Recipe) -> Samples | str:
    if isinstance(read, str):
        return read
    try:
        return decode(read, recipe).values
    except UnusableError as error:
        return str(error)


def _packed(rows: Any, began: float, unread: int) -> bytes:
    out = io.BytesIO()
    said = {**rows.schema.metadata, b"began": str(began), b"unread": str(unread)}
    with pa.ipc.new_file(out, rows.schema.with_metadata(said)) as file:
        file.write_table(rows)
    return out.getvalue()


def _before(part: PredictionPart) -> Any:
    """The rows that were kept of a part; None where they are no longer those of its originals."""
    try:
        rows = pa.ipc.open_file(pa.py_buffer(storage.read(str(part.place)))).read_all()
    except storage.NotFoundError:  # another command has written the same, and cleared up
        return None
    said = dict(rows.schema.metadata)
    began, unread = float(said.pop(b"began")), int(said.pop(b"unread"))
    if unread or changed(part.originals, began):
        return None
    return rows.replace_schema_metadata(said)

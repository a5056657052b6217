"""The films that are read: phantoms, packed by our own packer, and the same bytes for each peer.

A corpus is made once below `--work` and in the store that lies there; a later run finds it.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from benchmarks import store, writers
from benchmarks.job import Format
from benchmarks.look import hash_sum, signatures
from benchmarks.readers import batch_of
from rayograph.config import PackOptions
from rayograph.pack import packing, phantom
from rayograph.pack.sources import open_source

T = TypeVar("T")
R = TypeVar("R")
Films = npt.NDArray[np.uint8]
DISTINCT_PIXELS = 256 * 256 * 256  # of phantoms that are drawn; the others are made of these
VALIDATION = 32  # films; the packer wants a validation part
SHARD_BYTES = 64_000_000  # LitData's and MosaicML's default; less where a corpus has not 8 of them
CORES = 2
FRESH = get_context("spawn")  # a fork of a process with threads may wait for a lock for ever


WARM_FILMS = 128  # of the small corpus that a process reads before it is measured


@dataclass(frozen=True)
class Corpus:
    """A corpus, and what a reader of all of it must have seen."""

    format: Format
    store: str
    folder: str
    signatures: frozenset[bytes]
    xxh3_sum: int
    warm: tuple[str, str]  # store and folder of a small corpus of the same format


def build(form: Format, work: Path, bucket: str) -> Corpus:
    """Make the corpus where it is not there yet."""
    place, folder = f"{bucket}/bench/{form.key}", work / form.key
    source = work / f"films-{form.size}-{form.films}"
    if not (source / "done").exists():
        draw(form, source)
    if not (folder / "truth.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pack_ours(form, source, f"{place}/ours")
        stored, labels = packed(f"{place}/ours")
        if form.codec == "jpeg":
            write_folder(stored, labels, folder / "train")
        (folder / "truth.json").write_text(json.dumps(truth(form, stored)))
    for name in writers.WRITERS:
        if writers.installed(name) and not (folder / f"{name}.done").exists():
            write_peer(name, place, folder)
    known = json.loads((folder / "truth.json").read_text())
    images = source if form.codec == "raw" else folder
    found = frozenset(bytes.fromhex(text) for text in known["signatures"])
    here = (place, str(images / "train"))
    if form.films > WARM_FILMS:
        warm = build(replace(form, films=WARM_FILMS), work, bucket)
        return Corpus(form, *here, found, known["xxh3_sum"], (warm.store, warm.folder))
    return Corpus(form, *here, found, known["xxh3_sum"], here)


def write_peer(name: str, place: str, folder: Path) -> None:
    """The packed films in a peer's format, in the store."""
    stored, labels = packed(f"{place}/ours")
    local = folder / name
    shutil.rmtree(local, ignore_errors=True)
    writers.WRITERS[name](local, stored, labels, min(SHARD_BYTES, sum(map(len, stored)) // 8))
    store.upload(local, f"{place}/{name}")
    shutil.rmtree(local)
    (folder / f"{name}.done").touch()


def draw(form: Format, folder: Path) -> None:
    """PART/CLASS/00000.png: a few hundred phantoms, the others cheaply made of them."""
    distinct = max(8, min(form.films, DISTINCT_PIXELS // form.size**2))
    for part, count in (("train", form.films), ("val", VALIDATION)):
        for name in phantom.CLASSES:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
        paint = partial(draw_one, folder / part, form.size, distinct)
        with FRESH.Pool(CORES) as pool:
            # Films of one phantom are drawn together, so that it is drawn once a process.
            pool.map(paint, sorted(range(count), key=lambda i: i % distinct), chunksize=64)
    (folder / "done").touch()


def draw_one(folder: Path, size: int, distinct: int, number: int) -> None:
    """Film `number`: a phantom, rolled by a few pixels and made a little darker."""
    base, turn = number % distinct, number // distinct
    film = np.roll(_phantom(base, size), (turn % 16 - 8, turn // 16 * 3), axis=(0, 1))
    film = (film * (1 - turn % 7 / 40)).astype(np.uint8)
    name = phantom.CLASSES[base % 2]
    Image.fromarray(film).save(folder / name / f"{number:05}.png", compress_level=1)


@lru_cache(4)
def _phantom(base: int, size: int) -> Films:
    film: Films = phantom.film(base, base % 2 == 1, size)
    return film


def pack_ours(form: Format, source: Path, place: str) -> None:
    """As `rayograph pack` does, on two processes instead of Ray."""
    chosen: dict[str, Any] = {"size": form.size}
    if form.codec != "raw":
        chosen |= {"codec": form.codec, "quality": form.quality}
    options = PackOptions(**chosen)
    packing.pack(open_source(str(source), options), place, pooled, overwrite=True)


def pooled(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:  # noqa: ARG001
    """`pack.mapper.Mapper` by a pool of processes."""
    with FRESH.Pool(CORES) as pool:
        yield from pool.imap(function, items)


def packed(place: str) -> tuple[list[bytes], list[int]]:
    """The stored bytes and the label of every training film of a packed dataset."""
    stored: list[bytes] = []
    labels: list[int] = []
    for key in store.keys(f"{place}/train"):
        bucket = place.removeprefix("s3://").partition("/")[0]
        table = pa.ipc.open_stream(store.read(f"s3://{bucket}/{key}")).read_all()
        stored += table.column("image").to_pylist()
        labels += table.column("label").to_pylist()
    return stored, labels


def write_folder(stored: Sequence[bytes], labels: Sequence[int], folder: Path) -> None:
    """CLASS/00000.jpg, the same bytes as in the shards, for ImageFolder."""
    for name in phantom.CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (data, label) in enumerate(zip(stored, labels, strict=True)):
        (folder / phantom.CLASSES[label] / f"{number:05}.jpg").write_bytes(data)


def truth(form: Format, stored: Sequence[bytes]) -> dict[str, Any]:
    """What a reader of every film sees; a corpus with look-alikes would be a mistake of ours."""
    seen: list[str] = []
    total = 0
    for start in range(0, len(stored), 64):
        films = batch_of(stored[start : start + 64], form.size, form.codec)
        seen += [signature.tobytes().hex() for signature in signatures(films)]
        total += hash_sum(films)
    if len(set(seen)) != form.films:
        raise RuntimeError(f"{form.key}: {len(set(seen))} signatures of {form.films} films")
    return {"signatures": seen, "xxh3_sum": total}

"""The dataset of a run: one that was packed before, or phantoms made on the spot."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from rayograph import storage
from rayograph.config import DataOptions, PackOptions, RunConfig
from rayograph.data import phantom
from rayograph.data.cache import Cache
from rayograph.data.dataset import MANIFEST, Dataset
from rayograph.data.pack import pack
from rayograph.data.source import open_source

T = TypeVar("T")
R = TypeVar("R")


def dataset(config: RunConfig) -> Dataset:
    """Open `data.uri`; for `phantom`, make and pack films in the runs' storage, once."""
    films = config.phantom
    if config.data.uri != "phantom":
        return Dataset.open(config.data.uri, cache(config.data))
    uri = storage.join(config.run.storage, f"phantom-{films.films}-{films.size}-{films.seed}")
    if not storage.exists(storage.join(uri, MANIFEST)):
        with tempfile.TemporaryDirectory() as scratch:
            phantom.write(Path(scratch), films.films, films.seed, films.size)
            options = PackOptions(size=films.size, patient_pattern=phantom.PATIENT_PATTERN)
            pack(open_source(scratch, options), uri, options, one_by_one)
    return Dataset.open(uri, cache(config.data))


def cache(options: DataOptions) -> Cache | None:
    """The node's cache, where one is wanted."""
    return Cache(options.cache, options.cache_bytes) if options.cache else None


def one_by_one(what: str, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:  # noqa: ARG001
    """The `Run` of a single process."""
    return map(function, items)

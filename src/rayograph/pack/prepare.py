"""The dataset of a run: one that was packed before, or phantoms made on the spot."""

import tempfile
from pathlib import Path

from rayograph import storage
from rayograph.config import PackOptions, PhantomOptions, RunConfig
from rayograph.data.cache import Cache
from rayograph.data.dataset import MANIFEST, Dataset
from rayograph.pack import phantom
from rayograph.pack.mapper import one_by_one
from rayograph.pack.packing import pack
from rayograph.pack.sources import open_source


def dataset(config: RunConfig) -> Dataset:
    """Open `data.uri`; for `phantom`, make and pack films in the runs' storage, once."""
    uri = config.data.uri
    if uri == "phantom":
        uri = _phantoms(config.phantom, config.run.storage)
    return Dataset.open(uri, Cache.of(config.data), config.data.fold)


def _phantoms(films: PhantomOptions, folder: str) -> str:
    uri = storage.join(folder, f"phantom-{films.films}-{films.size}-{films.seed}")
    if not storage.exists(storage.join(uri, MANIFEST)):
        with tempfile.TemporaryDirectory() as scratch:
            phantom.write(Path(scratch), films.films, films.seed, films.size)
            options = PackOptions(size=films.size, patient_pattern=phantom.PATIENT_PATTERN)
            pack(open_source(scratch, options), uri, one_by_one)
    return uri

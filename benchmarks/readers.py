"""The readers, each in its best published way; one generator a reader.

A reader first yields `READY` when its imports (and Ray's cluster) are there, again when the
dataset is opened, and then uint8 batches [n, size, size], shuffled. Each is given the fast
decoder, a batch's memory written once, and bytes instead of pickles or PIL where it takes them.
All run without DataLoader processes, which on two cores cost more than they bring, except
ImageFolder on both cores.
"""

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from benchmarks.job import BATCH, Job

Films = npt.NDArray[np.uint8]
Batches = Generator[Films, None, None]
READY = np.empty((0, 0, 0), dtype=np.uint8)
RAY_BYTES = 512 * 1024**2  # of object store: less than the corpus, else Ray reads it all ahead
SHUFFLE_FILMS = 1000  # in WebDataset's and Ray Data's shuffle buffers


def batch_of(stored: Sequence[Any], size: int, codec: str) -> Films:
    """A new batch of films that are bytes, raw or JPEG."""
    films = np.empty((len(stored), size, size), dtype=np.uint8)
    if codec == "raw":
        for film, data in zip(films, stored, strict=True):
            film[...] = np.frombuffer(data, dtype=np.uint8).reshape(size, size)
    else:
        import simplejpeg

        for film, data in zip(films, stored, strict=True):
            simplejpeg.decode_jpeg(data, "GRAY", buffer=film)
    return films


def ours(job: Job) -> Batches:
    """`stream.training` over a packed dataset."""
    import boto3  # noqa: F401 - a worker has it long before it reads

    from rayograph.data import order, stream
    from rayograph.data.dataset import Dataset

    yield READY
    dataset = Dataset.open(f"{job.store}/ours")
    rows = dataset.split("train").batch_rows
    plan = order.plan(rows, BATCH * job.world, dataset.manifest.fingerprint, seed=0, epoch=0)
    yield READY
    share = stream.training(dataset, "train", plan, job.rank, job.world, job.start)
    with closing(share) as batches:
        for batch in batches:
            yield batch.inputs


def litdata(job: Job) -> Batches:
    """StreamingDataset, a fresh cache folder, obstore (its own choice) with plain http allowed.

    LitData refuses plain http for chunks; one key of its private client options lets it through.
    """
    import litdata
    from litdata.streaming import downloader

    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = "true"
    yield READY
    dataset = litdata.StreamingDataset(
        f"{job.store}/litdata", cache_dir=f"{job.scratch}/litdata", shuffle=True, drop_last=False,
        storage_options={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]},
    )  # fmt: skip
    loader = litdata.StreamingDataLoader(
        dataset, batch_size=BATCH, num_workers=0, collate_fn=_collate(job, "image")
    )
    if job.start:
        dataset.load_state_dict(dataset.state_dict(job.start * BATCH, 0, BATCH))
    yield READY
    yield from loader


def mosaicml(job: Job) -> Batches:
    """StreamingDataset, a fresh local folder, py1e (its default), read ahead of 8 batches."""
    os.environ["S3_ENDPOINT_URL"] = os.environ["AWS_ENDPOINT_URL"]
    import streaming
    from torch.utils.data import DataLoader

    yield READY
    dataset = streaming.StreamingDataset(
        remote=f"{job.store}/mosaicml", local=f"{job.scratch}/mosaicml", shuffle=True,
        batch_size=BATCH,
    )  # fmt: skip
    if job.start:
        dataset.load_state_dict(
            {"epoch": 0, "sample_in_epoch": job.start * BATCH * job.world,
             "num_canonical_nodes": 1, "shuffle_seed": dataset.shuffle_seed,
             "initial_physical_nodes": 1}
        )  # fmt: skip
    collate = _collate(job, "image")
    yield READY
    yield from DataLoader(dataset, batch_size=BATCH, num_workers=0, collate_fn=collate)


def webdataset(job: Job) -> Batches:
    """Tar shards by its own gopen (curl) from presigned URLs, shuffled shards and buffer."""
    import webdataset as wds

    from benchmarks.store import presigned

    yield READY
    collate = _collate(job, "film")
    shards = wds.WebDataset(
        presigned(f"{job.store}/webdataset"), shardshuffle=100, nodesplitter=wds.split_by_node
    )
    yield READY
    yield from shards.shuffle(SHUFFLE_FILMS).batched(BATCH, collation_fn=collate)


def ray_data(job: Job) -> Batches:
    """read_parquet (files shuffled), decoding by map_batches, iter_batches with its buffer."""
    import pyarrow.fs
    import ray
    import ray.data

    ray.init(
        address="local", num_cpus=job.cores, ignore_reinit_error=True, include_dashboard=False,
        log_to_driver=False, object_store_memory=RAY_BYTES, logging_level=logging.ERROR,
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    size, codec = job.format.size, job.format.codec

    def decode(table: Any) -> dict[str, Films]:
        return {"image": batch_of(table.column("image").to_pylist(), size, codec)}

    yield READY
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    store = pyarrow.fs.S3FileSystem(
        endpoint_override=endpoint.netloc, scheme=endpoint.scheme, region="us-east-1",
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    place = f"{job.store}/ray_data".removeprefix("s3://")
    films = ray.data.read_parquet(place, filesystem=store, columns=["image"], shuffle="files")
    yield READY
    table: Any
    if codec == "raw":
        for table in films.iter_batches(
            batch_size=BATCH, batch_format="pyarrow", local_shuffle_buffer_size=SHUFFLE_FILMS
        ):
            yield _fixed(table.column("image").combine_chunks(), size)
    else:
        decoded = films.map_batches(decode, batch_size=BATCH, batch_format="pyarrow")
        for batch in decoded.iter_batches(
            batch_size=BATCH, batch_format="numpy", local_shuffle_buffer_size=SHUFFLE_FILMS
        ):
            yield batch["image"]


def image_folder(job: Job) -> Batches:
    """ImageFolder and DataLoader from the disk: PNG by Pillow, JPEG by simplejpeg."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    def load(path: str) -> Films:
        if path.endswith(".png"):
            with Image.open(path) as film:
                return np.asarray(film.convert("L"))
        import simplejpeg

        decoded: Films = simplejpeg.decode_jpeg(Path(path).read_bytes(), "GRAY")[..., 0]
        return decoded

    def collate(films: list[tuple[Films, int]]) -> torch.Tensor:
        return torch.from_numpy(np.stack([film for film, _ in films]))

    yield READY
    films = ImageFolder(job.folder, loader=load)
    workers = job.cores if job.cores > 1 else 0
    yield READY
    for batch in DataLoader(films, BATCH, shuffle=True, num_workers=workers, collate_fn=collate):
        yield batch.numpy()


def _collate(job: Job, column: str) -> Callable[[list[dict[str, Any]]], Films]:
    size, codec = job.format.size, job.format.codec
    return lambda samples: batch_of([sample[column] for sample in samples], size, codec)


def _fixed(column: Any, size: int) -> Films:
    """A fixed-size binary column as films, without copying."""
    flat = np.frombuffer(column.buffers()[1], dtype=np.uint8)[column.offset * size * size :]
    return flat[: len(column) * size * size].reshape(len(column), size, size)


READERS: dict[str, Callable[[Job], Batches]] = {
    "ours": ours,
    "litdata": litdata,
    "mosaicml": mosaicml,
    "webdataset": webdataset,
    "ray_data": ray_data,
    "image_folder": image_folder,
}
MODULES = {"litdata": "litdata", "mosaicml": "streaming", "webdataset": "webdataset"}

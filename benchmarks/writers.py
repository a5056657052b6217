"""The same stored films in each peer's own format, written with the peer's own writer."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.readers import MODULES

Write = Callable[[Path, Sequence[bytes], Sequence[int], int], None]


def installed(reader: str) -> bool:
    """Whether the peer's package is there; some readers need none of their own."""
    module = MODULES.get(reader)
    return module is None or importlib.util.find_spec(module) is not None


def litdata(folder: Path, stored: Sequence[bytes], labels: Sequence[int], shard_bytes: int) -> None:
    """Chunks as `litdata.optimize` writes them, by the writer inside it."""
    from litdata.streaming import Cache

    cache = Cache(str(folder), chunk_bytes=shard_bytes)
    for number, (data, label) in enumerate(zip(stored, labels, strict=True)):
        cache[number] = {"image": data, "label": label}
    cache.done()
    cache.merge()


def mosaicml(
    folder: Path, stored: Sequence[bytes], labels: Sequence[int], shard_bytes: int
) -> None:
    """MDS, neither compressed nor hashed."""
    import streaming

    columns = {"image": "bytes", "label": "int32"}
    with streaming.MDSWriter(out=str(folder), columns=columns, size_limit=shard_bytes) as out:
        for data, label in zip(stored, labels, strict=True):
            out.write({"image": data, "label": label})


def webdataset(
    folder: Path, stored: Sequence[bytes], labels: Sequence[int], shard_bytes: int
) -> None:
    """Tar shards."""
    import webdataset as wds

    folder.mkdir(parents=True)
    pattern = str(folder / "%05d.tar")
    with wds.ShardWriter(pattern, maxcount=1 << 30, maxsize=shard_bytes, verbose=0) as out:
        for number, (data, label) in enumerate(zip(stored, labels, strict=True)):
            out.write({"__key__": f"{number:06}", "film": data, "cls": str(label).encode()})


def ray_data(
    folder: Path, stored: Sequence[bytes], labels: Sequence[int], shard_bytes: int
) -> None:
    """Parquet files, uncompressed; raw films as binary of one length, which Arrow never copies."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    same = len({len(data) for data in stored}) == 1
    kind = pa.binary(len(stored[0])) if same else pa.binary()
    rows = max(1, shard_bytes * len(stored) // sum(map(len, stored)))
    for start in range(0, len(stored), rows):
        part = slice(start, start + rows)
        images = pa.array(stored[part], kind)
        table = pa.table({"image": images, "label": pa.array(labels[part], pa.int32())})
        file = folder / f"{start:06}.parquet"
        pq.write_table(table, file, row_group_size=256, compression="none", use_dictionary=False)


WRITERS: dict[str, Write] = {
    "litdata": litdata,
    "mosaicml": mosaicml,
    "webdataset": webdataset,
    "ray_data": ray_data,
}

"""What a packed dataset already holds, as a pack knows samples."""

import io
from collections.abc import Collection, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from rayograph import storage
from rayograph.data import dataset, index, stream
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure, one_line
from rayograph.pack.describe import PackedSample
from rayograph.pack.documents import ORIGIN, RESERVED
from rayograph.pack.lookalikes import looks as looks_of
from rayograph.pack.looks import Looks
from rayograph.pack.samples import Sample

NOWHERE = -1  # the row in a scan of what was packed before


def samples(opened: Dataset) -> list[PackedSample]:
    """Every sample of a dataset, in stored order.

    An interrupted addition may have left an index of more: those of the manifest's shards count.
    """
    place = storage.join(opened.uri, dataset.INDEX)
    shards = [s for part in opened.manifest.parts.values() for s in part.shards]
    try:
        table = pq.read_table(io.BytesIO(storage.read(place)))
        own = [s.path for s in shards]
        table = table.filter(pa.compute.is_in(table.column("shard"), pa.array(own)))
        labels = index.labels(opened, table).tolist()
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Failure(f"{place}: cannot be read: {one_line(error)}; pack again") from None
    if table.num_rows != sum(s.rows for s in shards):
        raise Failure(f"{place}: has {table.num_rows} of its samples; pack again")
    told = {"sample_id", "patient_id", "part", "shard", "source", "sha256", ORIGIN}
    told |= set(opened.task.columns(index.labels(opened, table)))
    others = {name: _own(name, {*told, *RESERVED}) for name in columns if name not in told}
    return [
        PackedSample(
            Sample(
                sample_id=columns["sample_id"][i],
                source=columns["source"][i],
                origin=columns[ORIGIN][i] if ORIGIN in columns else None,
                sha256=columns["sha256"][i],
                patient_id=columns["patient_id"][i],
                labels=tuple(labels[i]),
                split=None,
                said={own: columns[name][i] for name, own in others.items()},
                header="{}",
                look=None,
                row=NOWHERE,
            ),
            columns["part"][i],
            columns["shard"][i],
        )
        for i in range(table.num_rows)
    ]


def _own(name: str, ours: Collection[str]) -> str:
    """What a column of metadata was called before the index called it otherwise, as we have one."""
    own = name.removeprefix("source_")
    return own if own in ours else name


def with_looks(opened: Dataset, known: Sequence[PackedSample], looks: Looks) -> list[PackedSample]:
    """The same with what they look like, which every shard is read for."""
    whole = opened.at_fold(0) if opened.manifest.folds else opened
    place: dict[str, int] = {}
    for split in whole.splits:
        for batch in stream.stored(whole, split):
            hashes, thumbs = looks_of(opened.inputs.pictures(batch.inputs))
            for name, own, thumb in zip(batch.ids, hashes, thumbs, strict=False):
                place[name] = looks.add(int(own), thumb.tobytes())
    return [
        each._replace(sample=replace(each.sample, look=place.get(each.sample.sample_id)))
        for each in known
    ]

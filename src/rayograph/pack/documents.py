"""What lies beside the shards, for people and other programs: two tables and a picture."""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from rayograph import task as tasks
from rayograph.data.dataset import CONTACT_SHEET
from rayograph.data.manifest import Manifest
from rayograph.pack.describe import PackedSample
from rayograph.pack.shard import Packed
from rayograph.pack.sources import Source

RESERVED = ("labels", "logits")  # columns of predictions.parquet, which has the index's, too
SHEET_COLUMNS, SHEET_ROWS, SHEET_FILM = 12, 6, 96


def index(samples: Sequence[PackedSample], manifest: Manifest) -> bytes:
    """`index.parquet`: a row a sample without its values, the source's other columns included."""
    labels = np.stack([sample.labels for sample in samples])
    columns: dict[str, Any] = {
        "sample_id": [sample.item.sample_id for sample in samples],
        "patient_id": [sample.item.patient_id for sample in samples],
        "part": [sample.part for sample in samples],
        "shard": [sample.shard for sample in samples],
        **tasks.of(manifest.task, manifest.classes).columns(labels),
        "source": [sample.item.uri for sample in samples],
        "sha256": [sample.sha256 for sample in samples],
    }
    for name in samples[0].item.metadata:
        key = name
        while key in columns or key in RESERVED:
            key = f"source_{key}"
        columns[key] = [sample.item.metadata[name] for sample in samples]
    return _parquet(pa.table(columns))


def rejections(source: Source, reasons: Mapping[str, str]) -> bytes:
    """`rejected.parquet`: every original that could not be used, with the reason."""
    uris = {item.sample_id: item.uri for item in source.items}
    columns = {
        "sample_id": pa.array(list(reasons), pa.string()),
        "source": pa.array([uris[name] for name in reasons], pa.string()),
        "reason": pa.array(list(reasons.values()), pa.string()),
    }
    return _parquet(pa.table(columns))


def contact_sheet(results: Sequence[Packed]) -> dict[str, bytes]:
    """`contact_sheet.png`, the first packed films side by side; none of what cannot be seen."""
    every = (thumb for packed in results for thumb in packed.thumbs)
    thumbs = list(itertools.islice(every, SHEET_COLUMNS * SHEET_ROWS))
    if not thumbs:
        return {}
    rows = -(-len(thumbs) // SHEET_COLUMNS)
    sheet = Image.new("L", (SHEET_COLUMNS * SHEET_FILM, rows * SHEET_FILM))
    for i, thumb in enumerate(thumbs):
        side = SHEET_FILM - 2
        row, column = divmod(i, SHEET_COLUMNS)
        picture = Image.fromarray(thumb).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(picture, (column * SHEET_FILM + 1, row * SHEET_FILM + 1))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return {CONTACT_SHEET: out.getvalue()}


def _parquet(table: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()

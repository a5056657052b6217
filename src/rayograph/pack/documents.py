"""What lies beside the shards, for people and other programs: two tables and a picture."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from rayograph import task as tasks
from rayograph.data.manifest import Manifest
from rayograph.pack.describe import PackedSample
from rayograph.pack.samples import Rejection

ORIGIN = "origin"  # the pseudonym of a whole name, where a part of it was replaced
RESERVED = ("labels", "logits")  # columns of predictions.parquet, which has the index's, too
SHEET_COLUMNS, SHEET_FILMS, SHEET_FILM = 12, 72, 96


def index(packed: Sequence[PackedSample], manifest: Manifest) -> bytes:
    """`index.parquet`: a row a sample without its values, all other columns included."""
    samples = [each.sample for each in packed]
    labels = np.array([sample.labels for sample in samples], np.int8)
    columns: dict[str, Any] = {
        "sample_id": [sample.sample_id for sample in samples],
        "patient_id": [sample.patient_id for sample in samples],
        "part": [each.part for each in packed],
        "shard": [each.shard for each in packed],
        **tasks.of(manifest.task, manifest.classes).columns(labels),
        "source": [sample.source for sample in samples],
        "sha256": [sample.sha256 for sample in samples],
    }
    if any(sample.origin for sample in samples):
        columns[ORIGIN] = pa.array([sample.origin for sample in samples], pa.string())
    beside: dict[str, list[Any]] = {}
    for i, sample in enumerate(samples):
        for name, value in sample.metadata.items():
            beside.setdefault(name, [None] * len(samples))[i] = value
    for name, values in beside.items():
        key = name
        while key in columns or key in RESERVED:
            key = f"source_{key}"
        columns[key] = _column(values)
    return _parquet(pa.table(columns))


def _column(values: list[Any]) -> Any:
    """Values of one kind, or as texts, where a table and headers say it in two kinds."""
    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def rejections(rejected: Sequence[Rejection]) -> bytes:
    """`rejected.parquet`: every original that could not be used, with the reason."""
    columns = {
        name: pa.array([getattr(each, name) for each in rejected], pa.string())
        for name in ("sample_id", "source", "reason")
    }
    return _parquet(pa.table(columns))


def contact_sheet(thumbs: npt.NDArray[np.uint8]) -> bytes:
    """`contact_sheet.png`: thumbnails [n, 64, 64] side by side."""
    rows = -(-len(thumbs) // SHEET_COLUMNS)
    sheet = Image.new("L", (SHEET_COLUMNS * SHEET_FILM, rows * SHEET_FILM))
    for i, thumb in enumerate(thumbs):
        side = SHEET_FILM - 2
        row, column = divmod(i, SHEET_COLUMNS)
        picture = Image.fromarray(thumb).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(picture, (column * SHEET_FILM + 1, row * SHEET_FILM + 1))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _parquet(table: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()

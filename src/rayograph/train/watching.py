"""Each epoch of a run that watches a split is a look at it, written down before it is shown."""

import hashlib
from collections.abc import Mapping
from typing import Any

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.runs import history, looks
from rayograph.runs.card import MODEL
from rayograph.runs.folder import RunFolder
from rayograph.runs.looks import WATCHING, Look
from rayograph.train.state import CheckpointPayload


def record(
    folder: RunFolder,
    dataset: Dataset,
    split: str,
    row: Mapping[str, Any],
    saved: CheckpointPayload,
) -> None:
    """Write down that an epoch's model was judged on a split; only the test split counts.

    An epoch without a checkpoint has no file, so the run's folder stands for its place.
    """
    name = row["checkpoint"]
    look = Look(
        command=WATCHING,
        model=folder.uri if name is None else storage.join(folder.uri, name, MODEL),
        digest=hashlib.sha256(saved.file).hexdigest(),
        epoch=row["epoch"],
        models=1,
        trained_on=dataset.manifest.fingerprint,
        dataset=dataset.uri,
        fingerprint=dataset.manifest.fingerprint,
        split=split,
        films=dataset.split(split).rows,
        metrics={
            metric: {"value": history.plain(row[f"{split}_{metric}"]), "low": None, "high": None}
            for metric in dataset.task.headline
            if f"{split}_{metric}" in row
        },
    )
    looks.record(folder.uri, look)

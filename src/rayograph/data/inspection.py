"""Looking into a packed dataset: what it holds, and whether every byte is as it was packed."""

import hashlib
from collections.abc import Iterator
from typing import Any

from rayograph import storage
from rayograph.data.dataset import Dataset
from rayograph.errors import Failure


def verify(dataset: Dataset) -> None:
    """Read every shard and compare its sha256; `Failure` names the first that differs."""
    for part in dataset.manifest.splits.values():
        for shard in part.shards:
            uri = storage.join(dataset.uri, shard.path)
            found = hashlib.sha256(storage.read(uri)).hexdigest()
            if found != shard.sha256:
                raise Failure(
                    f"{uri}: sha256 {found}, expected {shard.sha256}; it is damaged: pack again"
                )


def summary(dataset: Dataset) -> dict[str, Any]:
    """The manifest without its shards; films, patients, bytes and prevalence of each split."""
    found = dataset.manifest.model_dump(mode="json", exclude={"splits"})
    found["uri"] = dataset.uri
    found["splits"] = dict(_splits(dataset))
    return found


def _splits(dataset: Dataset) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in dataset.manifest.splits.items():
        yield (
            name,
            {
                "films": part.rows,
                "patients": part.patients,
                "shards": len(part.shards),
                "record_batches": len(part.batches),
                "bytes": sum(shard.bytes for shard in part.shards),
                "labels": part.labels,
                "prevalence": {label: count / part.rows for label, count in part.labels.items()},
            },
        )

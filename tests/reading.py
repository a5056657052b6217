"""Reads epochs as a worker does, in a process of its own, and prints what it saw as JSON.

`python -m tests.reading URI` with the options below; tests start it, kill it, and compare.
"""

import argparse
import json
import threading
import time
from contextlib import closing

import xxhash

from rayograph.data import order, stream
from rayograph.data.cache import Cache
from rayograph.data.dataset import Dataset


def main() -> None:
    """One line: a hash of every batch's rows, labels and pixels, the seconds, the threads left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("uri")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--cache")
    parser.add_argument("--cache-bytes", type=int, default=10**9)
    words = parser.parse_args()
    cache = Cache(words.cache, words.cache_bytes) if words.cache else None
    dataset = Dataset.open(words.uri, cache)
    part, seen, began = dataset.split("train"), [], time.monotonic()
    for epoch in range(words.epochs):
        plan = order.plan(part.batch_rows, 40, dataset.manifest.fingerprint, 0, epoch)
        batches = stream.training(dataset, "train", plan, words.rank, words.world)
        with closing(batches):
            for batch in batches:
                data = (batch.rows.tobytes(), batch.labels.tobytes(), batch.inputs.tobytes())
                seen.append(xxhash.xxh3_64_hexdigest(b"".join(data)))
    print(
        json.dumps(
            {
                "batches": seen,
                "seconds": time.monotonic() - began,
                "threads": threading.active_count(),
            }
        )
    )


if __name__ == "__main__":
    main()

"""What was evaluated in a run, as the report shows it."""

from collections.abc import Iterator

import numpy as np

from rayograph.evaluate import metrics, results
from rayograph.report.view import EvaluationView

SPLITS = ("test", "val", "train")


def evaluations(run: str) -> Iterator[EvaluationView]:
    """One view for each split that was evaluated, the test split first."""
    for split in SPLITS:
        saved = results.load(run, split)
        if saved is None:
            continue
        found, table = saved
        logits = np.array(table.column("logits").to_pylist(), dtype=np.float64)
        yield EvaluationView(
            split=split,
            classes=tuple(found["classes"]),
            films=found["films"],
            patients=found["patients"],
            metrics=found["metrics"],
            confusion=found["confusion"],
            labels=table.column("label").to_numpy(),
            probabilities=metrics.softmax(logits),
            checkpoints=found.get("checkpoints", ()),
            epoch=found["epoch"],
        )

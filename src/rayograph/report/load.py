"""A run's folder, as the report shows it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from rayograph import task as tasks
from rayograph.data import card as cards
from rayograph.report import looks as ledger
from rayograph.report.parts import PARTS
from rayograph.report.view import EvaluationView, RunReport
from rayograph.runs import evaluations as results
from rayograph.runs import findings, looks
from rayograph.runs.folder import RunFolder

SPLITS = ("test", "val", "train")
DECIDING = ("temperature", "calibration", "at_points", "chosen_on", "predictive")


def report_of(folder: RunFolder) -> RunReport:
    """All that a run's page shows."""
    config, card = folder.config(), folder.card()
    return RunReport(
        name=config.run.name,
        config=config.model_dump(mode="json"),
        history=folder.history(),
        evaluations=list(_evaluations(folder.uri)),
        findings=dict(_findings(folder)),
        card=card,
        data=None if card is None else cards.read(card.dataset, card.fold, card.fingerprint),
        environment=folder.environment(),
    )


def _findings(folder: RunFolder) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each part shows: a document in the run's folder; the looks are gathered now."""
    for part in PARTS:
        found = (
            looks.of_run(folder)
            if part.name == ledger.NAME
            else findings.load(folder.uri, part.name)
        )
        if found is not None:
            yield part.name, found


def _evaluations(run: str) -> Iterator[EvaluationView]:
    """One view for each split that was evaluated, the test split first."""
    for split in SPLITS:
        saved = results.load(run, split)
        if saved is None:
            continue
        found, table = saved
        task = tasks.of(found["task"], found["classes"])
        labels = task.labels(table)
        logits = np.array(table.column("logits").to_pylist(), dtype=np.float64)
        yield EvaluationView(
            split=split,
            task=task.name,
            classes=task.classes,
            films=found["films"],
            patients=found["patients"],
            metrics=found["metrics"],
            confusion=found["confusion"],
            labels=labels if found.get("labels") else labels.argmax(axis=1),
            probabilities=task.probabilities(logits),
            checkpoints=found.get("checkpoints", ()),
            epoch=found["epoch"],
            by_label=found.get("labels", {}),
            operating_points=found["operating_points"],
            noun=found["noun"],
            subgroups=found["subgroups"],
            owners=table.column("patient_id").to_pylist(),
            overlap=found["overlap"],
            unmatched=found["unmatched"],
            selection=found.get("selection"),
            models=found["models"],
            **{name: found[name] for name in DECIDING if name in found},
        )

"""A model on films of elsewhere beside its own test films: an external test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rayograph import task as tasks
from rayograph.errors import Failure, UserError, one_line
from rayograph.evaluate.overlap import trained_on
from rayograph.runs import card as cards
from rayograph.runs import evaluations, findings
from rayograph.runs.evaluations import Evaluation
from rayograph.task import Estimate, operating
from rayograph.task.drop import Sample, drops, prevalences
from rayograph.task.recalibration import gains

NAME = "external"  # of the finding in a run's folder: one document, an entry a dataset


def own_test(
    run: str | None, found: Evaluation, models: Sequence[str], judge: Callable[[], Evaluation]
) -> Evaluation | str:
    """The same model on the test films of its own dataset, or why they are unknown.

    What the run's folder keeps is taken; else `judge` judges them now, which is a look at them, and
    the run keeps it.
    """
    kept = None if run is None else evaluations.restored(run, "test")
    if kept is not None and _of_same_model(kept, found):
        return kept
    try:
        trained_on(cards.read(models[0])).split("test")
        judged = judge()
    except (UserError, Failure) as error:
        return one_line(error)
    if run is not None:
        evaluations.save(judged, run)
    else:
        evaluations.look(None, judged)
    return judged


def _of_same_model(kept: Evaluation, found: Evaluation) -> bool:
    """Whether both are of one file; older results do not say, but what was trained on what."""
    if kept.digest and found.digest:
        return kept.digest == found.digest
    theirs = (kept.epoch, kept.trained_on, kept.classes, kept.operating_points)
    return theirs == (found.epoch, found.trained_on, found.classes, found.operating_points)


def external(found: Evaluation, own: Evaluation | str) -> dict[str, Any]:
    """The external test as JSON: what is written, stored and shown.

    `metrics` and `labels` hold the drops, `prevalence` the shares of each class or label in both
    places, `recalibration` what a few films of that place would give. Internal values are None, and
    `unknown` says why, where the own test films could not be judged.
    """
    task = tasks.of(found.task, found.classes)
    by = operating.rule(found.operating_rule or operating.YOUDEN, found.model)
    outside, inside = _sample(found), None if isinstance(own, str) else _sample(own)
    overall, by_label = drops(task, inside, outside, found.operating_points) if inside else ({}, {})
    there = prevalences(task, outside.labels)
    here = prevalences(task, inside.labels) if inside else {}
    return {
        "name": found.dataset.rpartition("/")[2],
        "dataset": found.dataset,
        "fingerprint": found.fingerprint,
        "split": found.split,
        "films": found.films,
        "patients": found.patients,
        "noun": found.noun,
        "epoch": found.epoch,
        "digest": found.digest,
        "task": found.task,
        "classes": list(found.classes),
        "operating_points": found.operating_points,
        "mapping": {name: list(theirs) for name, theirs in found.mapping.items()},
        "left_out": dict(found.left_out),
        "internal": None if isinstance(own, str) else {"films": own.films, "dataset": own.dataset},
        "unknown": own if isinstance(own, str) else None,
        "metrics": {name: asdict(drop) for name, drop in overall.items()},
        "labels": {
            label: {name: asdict(drop) for name, drop in own_drops.items()}
            for label, own_drops in by_label.items()
        },
        "prevalence": {
            name: {"internal": _plain(here.get(name)), "external": asdict(there[name])}
            for name in found.classes
        },
        "recalibration": [
            asdict(gain)
            for gain in gains(
                task, outside.labels, outside.logits, outside.patients, found.operating_points, by
            )
        ],
    }


def save(run: str, document: Mapping[str, Any]) -> None:
    """Keep an external test in a run's folder beside those on other datasets.

    One dataset has one entry, the latest; those of a model that is no longer the run's best go.
    """
    kept = findings.load(run, NAME) or {}
    own = {key: old for key, old in kept.items() if old["digest"] == document["digest"]}
    key = f"{document['fingerprint']}/{document['split']}"
    findings.save(run, NAME, {**own, key: document})


def _sample(found: Evaluation) -> Sample:
    labels, logits = found.arrays()
    return Sample(labels, logits, found.predictions.column("patient_id").to_pylist())


def _plain(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)

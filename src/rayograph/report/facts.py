"""What a run's folder knows, a sentence for each subject: for checklists and the model card."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from rayograph import task
from rayograph.report import distrust, facts_data, looks, subgroups, words
from rayograph.report.verdict import verdict
from rayograph.report.view import RunReport, ends, estimate, measure
from rayograph.runs.card import ModelCard


def known(report: RunReport) -> dict[str, str]:
    """By subject; those of which nothing is known are left out."""
    found = {name: " ".join(tell(report)) for name, tell in FACTS.items()}
    return {name: said for name, said in found.items() if said}


def _technology(report: RunReport) -> Iterator[str]:
    if report.card:
        kind = "each by itself of" if _by_label(report.card) else "exactly one of"
        classes = words.listed(report.card.classes, 20)
        yield f"A neural network, {report.card.model.name}; it predicts {kind} {classes}."


def _by_label(card: ModelCard) -> bool:
    """Whether a label may be missing."""
    return task.of(card.task, card.classes).unlabelled == task.MISSING


def _preprocessing(report: RunReport) -> Iterator[str]:
    if report.card:
        yield f"{report.card.recipe.words}, {report.card.transform.words}.".replace("`", "")


def _missing(report: RunReport) -> Iterator[str]:
    if report.card and _by_label(report.card):
        how = facts_data.of(report, "labels").get("uncertain")
        yield f"A label that is missing takes no part in training; uncertain labels: {how}."


def _model(report: RunReport) -> Iterator[str]:
    if report.card:
        options = report.card.model
        yield f"{options.name}, norm {options.norm}, dropout {options.dropout:g};"
        yield f"input {words.times(report.card.transform.shape)},"
        yield f"output {len(report.card.classes)} probabilities."


def _software(report: RunReport) -> Iterator[str]:
    if report.environment:
        yield f"{words.listed([f'{name} {v}' for name, v in report.environment.items()])}."


def unlike(report: RunReport) -> Iterator[str]:
    """What the marks of films that are unlike the known ones can tell, and what they cannot."""
    if report.card and report.card.unlike:
        yield (
            "`rayograph predict` marks films that are farther from the validation films than 99 in "
            "100 of these are from the rest of them. So of films like them about 1 in 100 is "
            "marked, too; and a film that is not marked may still be of another kind, age or "
            "device: how many are found is to be tried on such films."
        )


def _initial(report: RunReport) -> Iterator[str]:
    if report.card:
        weights = report.card.model.weights
        yield f"Weights of {weights}." if weights else "Random weights."
        if "seed" in facts_data.of(report, "train"):
            yield f"Seed {facts_data.of(report, 'train')['seed']}."


def _training(report: RunReport) -> Iterator[str]:
    train, optim = facts_data.of(report, "train"), facts_data.of(report, "optim")
    if train and optim and report.history:
        yield f"{len(report.history)} epochs in batches of {train['batch_size']};"
        yield f"{optim['name']}, learning rate {optim['lr']:g} ({optim['schedule']}),"
        yield f"weight decay {optim['weight_decay']:g}; class weights: {train['class_weights']}."
        told = ", ".join(_changes(facts_data.of(report, "augment")))
        yield f"Augmentation: {told or 'none'}."


def _changes(augment: Mapping[str, Any]) -> Iterator[str]:
    """The augmentation's options that change a film, and their level."""
    idle = {"scale", "shift"} if augment.get("area") else {"aspect"}
    for name, value in augment.items():
        if value and name not in idle:
            yield f"{name} {_number(value)}"


def _number(value: Any) -> str:
    return "–".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _selection(report: RunReport) -> Iterator[str]:
    if report.card and ends(report):
        yield f"Epoch {report.card.epoch}, the last one, whatever the others are."
    elif report.card:
        yield f"Epoch {report.card.epoch}, the one with the {words.superlative(measure(report))}."


def _ensemble(report: RunReport) -> Iterator[str]:
    if view := report.judged:
        one = "One model, no ensemble."
        yield one if view.models == 1 else f"{view.models} models, by their mean probability."


def _metrics(report: RunReport) -> Iterator[str]:
    if view := report.judged:
        yield f"{words.listed([task.METRICS[name].title for name in view.metrics], 20)}."


def _uncertainty(report: RunReport) -> Iterator[str]:
    if report.judged:
        yield "95 % intervals: Wilson's of proportions, else a bootstrap over patients."


def _internal(report: RunReport) -> Iterator[str]:
    if report.judged and report.judged.split == "test":
        told = looks.sentence(report.findings[looks.NAME]) if looks.NAME in report.findings else ""
        yield f"On the test split of the same dataset. {told}".rstrip()


def _performance(report: RunReport) -> Iterator[str]:
    if view := report.judged:
        yield verdict(report).sentence
        told = [
            f"{task.METRICS[name].title} {words.with_interval(view.metrics, name)}"
            for name in view.of_task.headline
            if estimate(view.metrics, name).value is not None
        ]
        yield f"{'; '.join(told)}."


def _failures(report: RunReport) -> Iterator[str]:
    view = report.judged
    if view and not view.by_label:
        table = np.asarray(view.confusion)
        wrong = int(table.sum() - np.trace(table))
        yield f"{wrong:,} of {int(table.sum()):,} {view.noun} are wrong; see the confusion matrix."


def _fairness(report: RunReport) -> Iterator[str]:
    if report.judged and report.judged.subgroups:
        yield f"Judged by {words.listed([*report.judged.subgroups])}."
        yield from (f"{gap}." for gap in subgroups.largest(report.judged))


def _output(report: RunReport) -> Iterator[str]:
    if report.card:
        yield "A probability for each class or label."
        names = task.of(report.card.task, report.card.classes).pointed
        points = zip(names, report.card.operating_points or (), strict=False)
        told = [f"{name} from {point:.3f}" for name, point in points if point is not None]
        if told:
            yield f"It counts as {words.listed(told, 14)}, as the validation split suggests."


def _limits(report: RunReport) -> Iterator[str]:
    yield from distrust.distrust(report).doubts


FACTS: Mapping[str, Callable[[RunReport], Iterator[str]]] = {
    "technology": _technology,
    "source": facts_data.source,
    "excluded": facts_data.excluded,
    "included": facts_data.included,
    "preprocessing": _preprocessing,
    "deidentified": facts_data.deidentified,
    "missing": _missing,
    "acquisition": facts_data.acquisition,
    "demographics": facts_data.demographics,
    "partitions": facts_data.partitions,
    "disjoint": facts_data.disjoint,
    "model": _model,
    "software": _software,
    "initial": _initial,
    "training": _training,
    "selection": _selection,
    "ensemble": _ensemble,
    "metrics": _metrics,
    "uncertainty": _uncertainty,
    "internal": _internal,
    "performance": _performance,
    "failures": _failures,
    "fairness": _fairness,
    "imbalance": facts_data.imbalance,
    "output": _output,
    "comparison": facts_data.comparison,
    "limits": _limits,
}

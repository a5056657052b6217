"""What to distrust of a result: each check finds reasons, or none, or could not be made.

Beside these, the parts of a report that other commands fill bring doubts of their own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rayograph import task
from rayograph.data.card import DataCard
from rayograph.report import looks, parts, words
from rayograph.report.view import EvaluationView, RunReport, estimate
from rayograph.task.estimate import wilson

WIDE = 0.1  # an interval of AUROC that is wider says little
GAP = 0.1  # a difference between parts of the patients that is told at the top
FEW = 200  # validation films, by which an epoch and a threshold were chosen
OFF = 0.05  # how far the mean probability may be from the share that comes true
LOW = 0.7  # a sensitivity or specificity at the operating point that is told at the top
UNKNOWABLE = (
    "whether the labels are right",
    "whether films of another hospital, machine or year are like these",
    "whether the model sees the disease, or something that goes with it",
)

Reasons = Iterator[str]
Doubt = Callable[[RunReport, EvaluationView], Reasons]


@dataclass(frozen=True)
class Distrust:
    """Reasons to distrust; what was looked for and not found; what could not be looked for."""

    doubts: tuple[str, ...]
    clear: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """What is looked for, in words that follow `not found:`; `possible` says what it needs."""

    sought: str
    find: Doubt
    possible: Callable[[RunReport, EvaluationView], bool] = lambda _report, _view: True


def distrust(report: RunReport) -> Distrust:
    """All reasons that a run's folder knows; without an evaluation only those of other commands."""
    found = Distrust((), (), ())
    if report.judged is not None:
        found = checked(report, report.judged)
    others = [said for said in parts.doubts(report.findings) if said not in found.doubts]
    return Distrust((*found.doubts, *others), found.clear, found.unknown)


def checked(report: RunReport, view: EvaluationView) -> Distrust:
    """What the checks say of one evaluation."""
    possible = [check for check in CHECKS if check.possible(report, view)]
    reasons = [(check, tuple(check.find(report, view))) for check in possible]
    return Distrust(
        tuple(said for _, found in reasons for said in found),
        tuple(check.sought for check, found in reasons if not found),
        tuple(check.sought for check in CHECKS if check not in possible),
    )


def _split(_report: RunReport, view: EvaluationView) -> Reasons:
    if view.split == "train":
        yield f"These {view.noun} are those it was trained on: the figures flatter it."
    elif view.split == "val":
        yield f"These {view.noun} chose the epoch and the threshold: the figures flatter it."


def _interval(_report: RunReport, view: EvaluationView) -> Reasons:
    found = estimate(view.metrics, "auroc")
    if found.value is None:
        yield "AUROC is not defined here: the films are all of one kind."
    elif found.low is None or found.high is None:
        yield f"AUROC has no interval: {view.patients:,} patients are too few for one."
    elif found.high - found.low > WIDE:
        width = f"{found.high - found.low:.2f} wide"
        said = f"{view.patients:,} {words.counted(view.patients, 'patients')}"
        yield f"Few patients: the interval of AUROC is {width}, from {said}{_positives(view)}."


def _positives(view: EvaluationView) -> str:
    if not view.binary:
        return ""
    count = int((np.asarray(view.labels) == 1).sum())
    return f", {count:,} {view.noun} of them {view.classes[1]}"


def _undefined(_report: RunReport, view: EvaluationView) -> Reasons:
    if view.by_label:
        lacking = [
            name for name, found in view.by_label.items() if estimate(found, "auroc").value is None
        ]
    else:
        counts = np.bincount(np.asarray(view.labels), minlength=len(view.classes))
        lacking = [
            name
            for name, count in zip(view.classes, counts, strict=True)
            if count in (0, view.films)
        ]
    if lacking:
        yield f"Not judged: {words.listed(lacking)}; all {view.noun} here have it, or none."
    yield from (f"{said[:1].upper()}{said[1:]}." for said in view.unmatched)


def _scored(_report: RunReport, view: EvaluationView) -> Reasons:
    missing = len(view.labels) - len(view.scored()[0])
    if missing:
        yield f"{missing:,} {words.counted(missing, view.noun)} have no finite score."


def _leaks(report: RunReport, view: EvaluationView) -> Reasons:
    data = report.data
    assert isinstance(data, DataCard)
    for each in data.shared:
        if each.second != view.split or not (each.patients or each.files):
            continue
        use = {"train": "trained on", "val": "selected by"}[each.first]
        if each.patients:
            share = f"{each.films:,} of the {view.films:,} {view.split} {view.noun}"
            yield f"{share} are of patients whose other {view.noun} the model was {use}."
        if each.files:
            yield f"{each.files:,} {view.split} files are the same as files it was {use}."
    alike = [f for f in data.findings if f.kind == "near_identical" and view.split in f.message]
    yield from (f"{finding.message}." for finding in alike)


def _own_patients(report: RunReport, _view: EvaluationView) -> Reasons:
    data = report.data
    assert isinstance(data, DataCard)
    if not data.patients_known:
        yield "Patients are not known: a patient may be in two splits, and intervals be too narrow."


def _overlap(_report: RunReport, view: EvaluationView) -> Reasons:
    seen = view.overlap or {}
    if seen.get("films"):
        said = f"{seen['films']:,} of these {view.noun}"
        yield f"{said} are among those that it was trained on or selected by."
    if seen.get("unknown"):
        yield f"Whether it was trained on these {view.noun} is not known: {seen['unknown']}."


def _gaps(_report: RunReport, view: EvaluationView) -> Reasons:
    for column, found in view.subgroups.items():
        for name, gap in found["gaps"].items():
            own = estimate({name: gap["difference"]}, name)
            if own.bounded and (own.low or 0) > 0 and (own.value or 0) >= GAP:
                value, low, high = (words.written(name, x) for x in (own.value, own.low, own.high))
                title = task.METRICS[name].title
                told = f"By {column}, {title} is {value} ({low} to {high}) higher"
                yield f"{told} in {gap['high']} than in {gap['low']}."


def _selection(_report: RunReport, view: EvaluationView) -> Reasons:
    if view.checkpoints:
        said = "all checkpoints were judged on these films"
        yield f"Exploratory: {said}; to choose one by it would be to choose by the test."


def _looks(report: RunReport, view: EvaluationView) -> Reasons:
    if view.split == "test" and looks.NAME in report.findings:
        yield from looks.doubts(report.findings[looks.NAME])


def _calibrated(_report: RunReport, view: EvaluationView) -> Reasons:
    labels, probabilities = view.scored()
    off = []
    for place in [1] if view.binary else range(len(view.classes)):
        truth, known = labels == place, np.ones(len(labels), bool)
        if view.by_label:
            truth, known = labels[:, place] == task.PRESENT, labels[:, place] >= task.ABSENT
        share = wilson(int(truth[known].sum()), int(known.sum()))
        if share.value is None or share.low is None or share.high is None:
            continue
        mean = float(probabilities[known, place].mean())
        if abs(mean - share.value) > OFF and not share.low <= mean <= share.high:
            off.append((view.classes[place], mean, share.value))
    if off:
        name, mean, share_value = max(off, key=lambda each: abs(each[1] - each[2]))
        others = f" (and {len(off) - 1} more)" if len(off) > 1 else ""
        given = f"the model gives {name}{others} {mean:.2f} on average"
        yield f"Probabilities are off: {given}, and {share_value:.2f} of the {view.noun} have it."


def _thresholds(_report: RunReport, view: EvaluationView) -> Reasons:
    names = view.of_task.pointed
    points = view.operating_points or (None,) * len(names)
    lacking = [name for name, point in zip(names, points, strict=True) if point is None]
    if lacking and (view.binary or view.by_label):
        why = "validation suggests none"
        yield f"No operating point of {words.listed(lacking)}: {why}, so 0.5 is taken."


def _threshold_moved(_report: RunReport, view: EvaluationView) -> Reasons:
    for name in ("sensitivity", "specificity"):
        found = estimate(view.metrics, f"{name}_at_threshold")
        if view.binary and found.value is not None and found.value < LOW:
            said = words.written(f"{name}_at_threshold", found.value)
            yield f"At the operating point that validation chose, {name} is only {said} here."


def _validation(report: RunReport, view: EvaluationView) -> Reasons:
    data = report.data
    assert isinstance(data, DataCard)
    found = data.splits.get("val")
    if found is None:
        yield "No validation split: the last epoch is the model, and its threshold is 0.5."
    elif found.films < FEW:
        said = f"{found.films:,} validation {view.noun}"
        yield f"Epoch and operating points were chosen by {said} only."


def _fold(report: RunReport, _view: EvaluationView) -> Reasons:
    data = report.data
    assert isinstance(data, DataCard)
    if data.folds and data.fold is not None:
        yield (
            f"One fold of {data.folds} validated, so this is one of {data.folds} models: "
            "another fold gives another figure."
        )


def _readable(report: RunReport, _view: EvaluationView) -> bool:
    return isinstance(report.data, DataCard)


def _parted(_report: RunReport, view: EvaluationView) -> bool:
    return bool(view.subgroups)


CHECKS: Sequence[Check] = (
    Check("figures of films that chose the model", _split),
    Check("patients or files in two splits", _leaks, _readable),
    Check("films that the model was trained on", _overlap),
    Check("patients that are not known", _own_patients, _readable),
    Check("an interval too wide to say much", _interval),
    Check("classes or labels that cannot be judged", _undefined),
    Check("films without a score", _scored),
    Check("a part of the patients in which it does worse", _gaps, _parted),
    Check("a choice among checkpoints by these films", _selection),
    Check("many looks at the test split", _looks),
    Check("probabilities that do not come true", _calibrated),
    Check("missing operating points", _thresholds),
    Check("an operating point that does not hold here", _threshold_moved),
    Check("a small validation split", _validation, _readable),
    Check("one fold of several", _fold, _readable),
)

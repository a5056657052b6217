"""The drop between two places, and what recalibration on a few films of the other would give."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayograph import task as tasks
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN, Labels, Task
from rayograph.task.drop import Sample, comparable, drops, prevalences
from rayograph.task.metric import Floats
from rayograph.task.operating import Rule
from rayograph.task.recalibration import draws, fit, gains

BY = Rule("youden")

TASKS = [
    tasks.of("multiclass", ("normal", "ill")),
    tasks.of("multiclass", ("normal", "bacterial", "viral")),
    tasks.of("multilabel", ("mass", "edema")),
]
anywhere = st.integers(0, 2**32 - 1)
of_a_task = st.sampled_from(TASKS)


def films(task: Task, count: int, seed: int, strength: float = 2.0) -> tuple[Labels, Floats]:
    """Labels and calibrated logits times 1: what is more likely true has larger ones."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(count, task.outputs)) * strength
    chances = task.probabilities(logits)
    if task.unlabelled == MISSING:
        return (draw.random(chances.shape) < chances).astype(np.int8), logits
    truth = (draw.random((count, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    return np.eye(task.outputs, dtype=np.int8)[truth.clip(max=task.outputs - 1)], logits


def patients(count: int, each: int = 2) -> Sequence[str]:
    return [f"p{i // each}" for i in range(count)]


def loss(task: Task, labels: Labels, logits: Floats) -> float:
    return task.quick(labels, logits)["loss"]


@given(of_a_task, anywhere, st.integers(2, 40))
@settings(max_examples=40, deadline=None)
def test_refitting_never_raises_the_loss_on_the_films_it_is_fitted_to(
    task: Task, seed: int, count: int
) -> None:
    labels, logits = films(task, count, seed)
    wrong = logits * 3 - 1.5
    again = fit(task, labels, wrong)(wrong)
    assert loss(task, labels, again) <= loss(task, labels, wrong) + 1e-9
    order = np.argsort(wrong, axis=0)
    if task.unlabelled == MISSING:
        assert (np.diff(np.take_along_axis(again, order, axis=0), axis=0) >= 0).all()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}{task.outputs}")
def test_many_films_undo_a_scale_and_a_shift(task: Task) -> None:
    labels, logits = films(task, 20_000, 1)
    shift = np.linspace(-1, 1, task.outputs)
    found = fit(task, labels, logits * 2.5 + shift)
    assert found.scale == pytest.approx(1 / 2.5, abs=0.02)
    undone = found.bias + found.scale * shift
    assert undone - undone.mean() == pytest.approx(0, abs=0.06)


def test_films_of_one_class_move_a_model_but_not_to_infinity() -> None:
    labels, logits = np.tile(np.int8([0, 1]), (20, 1)), np.zeros((20, 2))
    found = fit(TASKS[0], labels, logits)
    assert 1 < found.bias[1] - found.bias[0] < 8
    unknown = np.full((5, 2), UNCERTAIN, np.int8)
    kept = fit(TASKS[2], unknown, np.ones((5, 2)))
    assert (kept.scale, kept.bias) == (pytest.approx(1), pytest.approx(0))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.integers(1, 20), anywhere)
@settings(max_examples=40, deadline=None)
def test_whole_patients_are_chosen_and_no_more_than_are_needed(
    owners: list[int], count: int, seed: int
) -> None:
    names = [str(owner) for owner in owners]
    sizes = {name: names.count(name) for name in names}
    for chosen in draws(names, min(count, len(names)), 5, seed):
        inside = {name for name, own in zip(names, chosen, strict=True) if own}
        assert not inside & {name for name, own in zip(names, chosen, strict=True) if not own}
        assert min(count, len(names)) <= chosen.sum()
        assert chosen.sum() < min(count, len(names)) + max(sizes[name] for name in inside)


def test_recalibration_repairs_a_model_that_is_sure_of_itself_and_says_by_how_much() -> None:
    labels, logits = films(TASKS[0], 400, 3)
    sure = logits * 6 + np.array([0.0, 4.0])
    found = gains(TASKS[0], labels, sure, patients(400), (0.5,), BY, repetitions=20)
    assert [gain.films for gain in found] == [0, 20, 50, 100, 200]
    losses = [gain.metrics["loss"] for gain in found]
    assert losses[0].value == pytest.approx(loss(TASKS[0], labels, sure))
    assert losses[-1].value < losses[1].value < losses[0].value  # type: ignore[operator]
    assert losses[-1].low <= losses[-1].value <= losses[-1].high  # type: ignore[operator]
    balance = [
        abs(gain.metrics["sensitivity"].value - gain.metrics["specificity"].value)  # type: ignore[operator]
        for gain in found
    ]
    assert balance[-1] < balance[0]
    again = gains(TASKS[0], labels, sure, patients(400), (0.5,), BY, repetitions=20)
    assert again == found
    few = gains(TASKS[0], labels[:30], sure[:30], patients(30), None, BY)
    assert [gain.films for gain in few] == [0], "20 are more than half of 30"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}{task.outputs}")
def test_a_drop_is_the_difference_and_its_interval_has_the_chance_of_both(task: Task) -> None:
    labels, logits = films(task, 300, 5)
    inside = Sample(labels, logits, patients(300))
    worse = np.random.default_rng(6).normal(size=logits.shape)
    points = (0.5,) * len(task.pointed) or None
    same, _ = drops(task, inside, inside, points, resamples=200)
    there, by_label = drops(task, inside, Sample(labels, worse, patients(300)), points, 200)
    assert {*task.headline, "brier", "loss"} <= {*same} == {*there}
    assert ("sensitivity_at_threshold" in same) == (task.outputs == 2 and not by_label)
    for name, drop in same.items():
        assert drop.difference.value == 0
        if name == "ece":
            assert drop.difference.low is drop.external.low is None, "it has no sound interval"
            continue
        assert drop.difference.low < 0 < drop.difference.high, name  # type: ignore[operator]
    auroc = there["auroc"]
    width = auroc.external.high - auroc.external.low  # type: ignore[operator]
    assert auroc.difference.high < 0  # type: ignore[operator]
    assert auroc.difference.high - auroc.difference.low > width  # type: ignore[operator]
    assert auroc.internal.value == task.quick(labels, logits)["auroc"]
    assert {*by_label} == ({*task.classes} if task.by_label else set())


def test_only_what_both_places_have_is_compared() -> None:
    task = TASKS[1]
    labels, logits = films(task, 200, 7)
    inside = Sample(labels, logits, patients(200))
    two = inside.of(labels[:, 2] == ABSENT)
    ours, theirs = comparable(task, inside, two)
    assert len(ours.labels) == len(theirs.labels) == len(two.labels)
    only = inside.of(labels[:, 2] == PRESENT)
    assert drops(task, two, only, None) == ({}, {}), "no class is in both"
    shares = prevalences(task, two.labels)
    assert shares["viral"].value == 0
    task = TASKS[2]
    labels, logits = films(task, 100, 8)
    unknown = labels.copy()
    unknown[:, 1] = MISSING
    sample, other = (Sample(each, logits, patients(100)) for each in (labels, unknown))
    ours, theirs = comparable(task, sample, other)
    assert (ours.labels[:, 1] == MISSING).all()
    found, by_label = drops(task, sample, other, None, 50)
    assert found["auroc"].difference.value == 0
    assert {*by_label} == {"mass"}
    assert prevalences(task, unknown)["edema"].value is None


def test_of_a_single_patient_there_is_a_difference_but_no_interval() -> None:
    labels, logits = films(TASKS[0], 60, 9)
    one = Sample(labels, logits, ["p"] * 60)
    found, _ = drops(TASKS[0], Sample(labels, logits, patients(60)), one, None, 50)
    assert found["auroc"].difference.value == 0
    assert not found["auroc"].difference.bounded

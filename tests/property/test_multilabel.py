"""Several labels a sample: metrics against scikit-learn, states, and every defined edge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN
from rayograph.task.multilabel import Multilabel
from rayograph.task.operating import Rule
from tests.property.test_calibration import plain_error

REFERENCES = {
    "auroc": lambda truth, score, _: sk.roc_auc_score(truth, score),
    "average_precision": lambda truth, score, _: sk.average_precision_score(truth, score),
    "sensitivity": lambda truth, _, called: sk.recall_score(truth, called),
    "specificity": lambda truth, _, called: sk.recall_score(truth, called, pos_label=0),
    "f1": lambda truth, _, called: sk.f1_score(truth, called, zero_division=0),
    "brier": lambda truth, score, _: sk.brier_score_loss(truth, 1 / (1 + np.exp(-score))),
    "ece": lambda truth, score, _: plain_error(truth, 1 / (1 + np.exp(-score))),
}
NEEDS = {
    "auroc": {0, 1},
    "average_precision": {0, 1},
    "specificity": {0},
    "brier": set(),
    "ece": set(),
}


@st.composite
def judged(draw):
    """A task, labels in all four states, logits with ties, and patients."""
    n, k = draw(st.integers(2, 30)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    states = draw(st.sampled_from([(0, 1), (0, 1, -1), (0, 1, -1, -2), (-1, -2), (1,)]))
    labels = rng.choice(states, (n, k)).astype(np.int8)
    logits = rng.integers(-3, 4, (n, k)) / 2
    points = draw(st.sampled_from([None, tuple(rng.uniform(0, 1, k))]))
    return Multilabel([f"L{i}" for i in range(k)]), labels, logits, rng.integers(0, n, n), points


@given(judged())
def test_each_label_and_the_mean_over_labels_are_scikit_learns(drawn):
    task, labels, logits, patients, points = drawn
    found = task.evaluate(labels, logits, list(map(str, patients)), points, resamples=20)
    called = task.decide(task.probabilities(logits), points)
    defined = {name: [] for name in REFERENCES}
    for i, label in enumerate(task.classes):
        known = labels[:, i] >= ABSENT
        truth, score, decided = labels[known, i], logits[known, i], called[known, i]
        for name, reference in REFERENCES.items():
            value = found.labels[label][name].value
            if len(truth) and NEEDS.get(name, {1}) <= set(truth.tolist()):
                assert value == pytest.approx(reference(truth, score, decided), abs=1e-12)
                defined[name].append(value)
            else:
                assert value is None
    for name, values in defined.items():
        macro = found.metrics[name].value
        assert macro is None if not values else macro == pytest.approx(np.mean(values), abs=1e-12)


@given(judged())
def test_hamming_accuracy_exact_match_and_loss_count_known_labels_only(drawn):
    task, labels, logits, _, _ = drawn
    found = task.quick(labels, logits)
    known, right = labels >= ABSENT, (logits >= 0) == (labels == PRESENT)
    rows = known.any(axis=1)
    if not rows.any():
        assert math.isnan(found["hamming_accuracy"])
        assert math.isnan(found["exact_match"])
        assert found["loss"] == 0
        return
    assert found["hamming_accuracy"] == pytest.approx(right[known].mean())
    assert found["exact_match"] == pytest.approx((right | ~known).all(axis=1)[rows].mean())
    losses = [
        sk.log_loss(labels[i, known[i]], 1 / (1 + np.exp(-logits[i, known[i]])), labels=[0, 1])
        for i in np.flatnonzero(rows)
    ]
    assert found["loss"] == pytest.approx(sum(losses) / len(labels))


@given(judged())
def test_an_operating_point_separates_as_well_as_any_and_is_even_where_nothing_says_so(drawn):
    task, labels, logits, _, _ = drawn
    probabilities = task.probabilities(logits)
    for i, point in enumerate(task.operating_points(labels, logits, Rule("youden"))):
        known = labels[:, i] >= ABSENT
        truth, score = labels[known, i], probabilities[known, i]
        if len(set(truth.tolist())) < 2:
            assert point is None
            continue
        rates = [
            (score[truth == 1] >= at).mean() + (score[truth == 0] < at).mean()
            for at in (point, *score)
        ]
        assert rates[0] == pytest.approx(max(rates))


@given(judged())
def test_states_survive_the_index(drawn):
    import pyarrow as pa

    task, labels, *_ = drawn
    table = pa.table(dict(task.columns(labels)))
    assert (task.labels(table) == labels).all()
    assert task.valid(labels)


def test_the_interval_is_a_bootstrap_over_patients_of_the_labels_that_a_resample_has():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 3)) < (0.5, 0.3, 0.03)).astype(np.int8)
    labels[:, 1][rng.random(60) < 0.3] = UNCERTAIN
    logits = labels + rng.normal(size=(60, 3))
    task = Multilabel(["often", "sometimes", "rare"])
    found = task.evaluate(labels, logits, [str(i // 2) for i in range(60)])
    auroc = found.metrics["auroc"]
    assert auroc.bounded
    assert auroc.low < auroc.value < auroc.high
    assert found.labels["often"]["auroc"].bounded
    again = task.evaluate(labels, logits, [str(i // 2) for i in range(60)])
    assert again == found


def test_what_cannot_be_judged_says_so():
    task = Multilabel(["a", "b"])
    with pytest.raises(ValueError, match="NaN"):
        task.quick(np.zeros((1, 2), np.int8), np.array([[0.0, math.nan]]))
    with pytest.raises(ValueError, match="no films"):
        task.quick(np.zeros((0, 2), np.int8), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="give one a film"):
        task.evaluate(np.zeros((2, 2), np.int8), np.zeros((2, 2)), ["a"])
    assert not task.valid(np.array([[2, 0]], np.int8))
    assert not task.valid(np.array([[MISSING - 1, 0]], np.int8))

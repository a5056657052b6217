"""Temperature, calibration error and the share of a group: against plain code and worked cases."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayograph.errors import UserError
from rayograph.task import predictive
from rayograph.task.calibration import calibrated, calibration_error
from rayograph.task.estimate import proportion, score_interval, wilson
from rayograph.task.multiclass import Multiclass
from rayograph.task.multilabel import Multilabel
from rayograph.task.operating import chosen, rule

TWO = Multiclass(["normal", "finding"])


def plain_error(truth, scores):
    """The calibration error, bin by bin, as one would say it."""
    edges = sorted({float(np.quantile(scores, i / 15)) for i in range(1, 15)})
    bins = {}
    for hit, score in zip(truth, scores, strict=True):
        bins.setdefault(sum(score >= edge for edge in edges), []).append((hit, score))
    gaps = [
        len(own) * abs(np.mean([h for h, _ in own]) - np.mean([s for _, s in own]))
        for own in bins.values()
    ]
    return sum(gaps) / len(scores)


@given(st.integers(1, 200), st.integers(0, 2**32), st.sampled_from([3, 1000]))
def test_the_calibration_error_is_the_plain_one(n, seed, levels):
    rng = np.random.default_rng(seed)
    scores, truth = rng.integers(0, levels, n) / levels, rng.integers(0, 2, n).astype(float)
    found = calibration_error(truth, scores, np.ones((1, n)))
    assert found[0] == pytest.approx(plain_error(truth, scores), abs=1e-12)


def test_a_worked_calibration_error():
    """30 films at 0.2 of which 12 are positive, 10 at 0.9 of which 9 are: 0.75 × 0.2."""
    scores = np.repeat([0.2, 0.9], [30, 10])
    truth = np.repeat([1.0, 0.0, 1.0, 0.0], [12, 18, 9, 1])
    assert calibration_error(truth, scores, np.ones((1, 40)))[0] == pytest.approx(0.15)
    doubled = calibration_error(truth, scores, np.array([[2.0] * 30 + [0.0] * 10]))
    assert doubled[0] == pytest.approx(0.2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_that_was_there_is_found(temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    likely = Multiclass("abc").probabilities(logits).cumsum(axis=1)
    classes = (rng.random((len(logits), 1)) > likely).sum(axis=1)
    labels = np.eye(3, dtype=np.int8)[classes]
    found = Multiclass("abc").temperature(labels, logits * temperature)
    assert found == pytest.approx(temperature, rel=0.03)
    states = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.int8)
    states[rng.random(logits.shape) < 0.2] = -1
    assert Multilabel("abc").temperature(states, logits * temperature) == pytest.approx(
        temperature, rel=0.03
    )


@given(st.integers(0, 2**32))
def test_a_temperature_never_worsens_the_loss_it_was_fitted_on(seed):
    rng = np.random.default_rng(seed)
    labels = np.eye(2, dtype=np.int8)[rng.integers(0, 2, 40)]
    logits = rng.normal(size=(40, 2)) + labels
    after = calibrated(logits, TWO.temperature(labels, logits)).astype(float)
    before, after = (TWO.quick(labels, each) for each in (logits, after))
    assert after["loss"] <= before["loss"] + 1e-6
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-6)


def test_where_no_temperature_is_best_it_is_one():
    labels = np.eye(2, dtype=np.int8)[[0, 0, 1, 1]]
    assert TWO.temperature(labels, labels * 3.0) == 1  # told apart: colder is always better
    assert TWO.temperature(labels, labels * -3.0) == 1  # the wrong way round: warmer is
    assert Multilabel("a").temperature(np.full((3, 1), -1, np.int8), np.zeros((3, 1))) == 1


WORKED = np.array([0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8])


@pytest.mark.parametrize(
    ("said", "point"),
    [
        ("youden", 0.5),  # 2/3 + 1; as good at 0.25, of which this is the higher
        ("sensitivity=0.6", 0.5),
        ("sensitivity=0.95", 0.25),
        ("specificity=0.95", 0.5),
        ("specificity=0.6", 0.25),
        ("cost=10", 0.25),  # one false alarm, against a miss
        ("cost=0.1", 0.5),
    ],
)
def test_a_worked_point_of_each_rule(said, point):
    assert chosen(*WORKED, rule(said, "--point")) == pytest.approx(point)


def test_points_that_are_undefined_or_call_nobody_positive():
    one = rule("sensitivity=0.9", "--point")
    assert chosen(np.ones(3, int), np.array([0.1, 0.2, 0.3]), one) is None
    wrong = np.array([1, 0]), np.array([0.1, 0.7])
    assert chosen(*wrong, rule("specificity=1", "--point")) == pytest.approx(0.85)
    certain = np.array([1, 0]), np.array([0.1, 1.0])
    assert chosen(*certain, rule("specificity=1", "--point")) is None
    for said in ("best", "sensitivity=95", "cost=0", "youden=1", "specificity="):
        with pytest.raises(UserError, match=f"--point: {said}: "):
            rule(said, "--point")


@given(st.integers(0, 2**32), st.sampled_from(["sensitivity", "specificity"]), st.floats(0.05, 1))
def test_a_fixed_rate_is_reached_and_by_no_better_probability(seed, name, least):
    rng = np.random.default_rng(seed)
    truth = np.append(rng.integers(0, 2, 30), [0, 1])
    scores = rng.integers(1, 12, 32) / 13
    point = chosen(truth, scores, rule(f"{name}={least:.6f}", "--point"))
    wanted = float(f"{least:.6f}")

    def rate(at):
        if name == "sensitivity":
            return (scores[truth == 1] >= at).mean()
        return (scores[truth == 0] < at).mean()

    assert rate(point) >= wanted
    at = min([s for s in scores if s >= point], default=1)
    better = scores[scores > at] if name == "sensitivity" else scores[scores < at]
    assert all(rate(each) < wanted for each in better)


def test_predictive_values_are_the_textbooks():
    """Sensitivity 90 %, specificity 80 %: at 1 % a positive is right in 4.35 % of cases."""
    labels = np.eye(2, dtype=np.int8)[np.repeat([1, 0], 100)]
    decided = np.eye(2, dtype=bool)[np.repeat([1, 0, 1, 0], [90, 10, 20, 80])]
    patients = [str(i) for i in range(200)]
    found = predictive.predictive(labels, decided, patients, {"b": 1}, [0.01, 0.5])["b"]
    assert found[0].ppv.value == pytest.approx(0.009 / (0.009 + 0.198))
    assert found[1].npv.value == pytest.approx(0.8 / 0.9)
    assert found[0].ppv.low < found[0].ppv.value < found[0].ppv.high
    certain = predictive.predictive(labels, labels == 1, patients, {"b": 1}, [0.01])["b"][0]
    assert (certain.ppv.value, certain.ppv.low) == (1, None)
    nobody = np.eye(2, dtype=bool)[np.zeros(200, int)]
    never = predictive.predictive(labels, nobody, patients, {"b": 1}, [0.01])["b"][0]
    assert never.ppv.value is None
    with pytest.raises(UserError, match="--prevalence 5: a share"):
        predictive.check([5])


def test_a_share_is_wilsons_of_films_and_of_patients_where_their_films_are_copies():
    right, own = np.array([1, 1, 1, 0, 1, 0, 1, 1]) == 1, [str(i) for i in range(8)]
    every = np.ones(8, bool)
    assert proportion(right, every, own) == wilson(6, 8)
    assert score_interval(6 / 8, 8).low == pytest.approx(wilson(6, 8).low, abs=1e-6)
    copies, often = np.repeat(right, 5), np.ones(40, bool)
    assert proportion(copies, often, list(np.repeat(own, 5))).low < wilson(6, 8).low
    assert proportion(often, often, list(np.repeat(own, 5))).low == pytest.approx(wilson(8, 8).low)
    assert proportion(right, ~every, own) == wilson(0, 0)


def test_25_000_films_and_2_000_resamples_take_less_than_ten_seconds_of_a_core():
    rng = np.random.default_rng(0)
    labels = np.eye(2, dtype=np.int8)[rng.integers(0, 2, 25_000)]
    logits = rng.normal(size=(25_000, 2)) + labels
    patients = [str(i // 2) for i in range(25_000)]
    TWO.evaluate(labels, logits, patients, (0.5,), resamples=1)  # imports scipy
    start = time.process_time()
    found = TWO.evaluate(labels, logits, patients, (0.5,))
    assert time.process_time() - start < 10
    assert found.metrics["auroc"].bounded

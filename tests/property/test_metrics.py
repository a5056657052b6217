"""Metrics against scikit-learn as the reference, the paper's interval, and every defined edge."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from rayograph.task import estimate as estimates_module
from rayograph.task import multiclass_metrics
from rayograph.task.estimate import Estimate, percentile, rarest, wilson
from rayograph.task.multiclass import Multiclass
from rayograph.task.multiclass_metrics import Resampled
from rayograph.task.operating import Rule
from tests.property.test_calibration import plain_error

KEYS = [
    "accuracy",
    "loss",
    "auroc",
    "average_precision",
    "sensitivity",
    "specificity",
    "precision",
    "balanced_accuracy",
    "f1",
    "brier",
    "ece",
]
CLOSE = {"rel": 1e-12, "abs": 1e-12}


def task_of(logits):
    return Multiclass([f"class {i}" for i in range(logits.shape[1])])


def one_hot(labels, logits):
    """Labels int8 [n, k] of class indices [n]."""
    return (np.asarray(labels)[:, None] == np.arange(logits.shape[1])).astype(np.int8)


def evaluate(labels, logits, patients, *, threshold=None, **options):
    points = None if threshold is None else (threshold,)
    truth = one_hot(labels, logits)
    return task_of(logits).evaluate(truth, logits, patients, points, **options).metrics


def quick(labels, logits):
    return task_of(logits).quick(one_hot(labels, logits), logits)


def softmax(logits):
    return task_of(logits).probabilities(logits)


def decide(logits, threshold=None):
    points = None if threshold is None else (threshold,)
    return task_of(logits).decide(softmax(logits), points).argmax(axis=1)


def confusion(labels, logits):
    return task_of(logits).confusion(one_hot(labels, logits), logits)


def youden_threshold(labels, logits):
    points = task_of(logits).operating_points(one_hot(labels, logits), logits, Rule("youden"))
    return None if points is None else points[0]


def resampled(labels, logits, weights):
    task = task_of(logits)
    under = Resampled(task._judged(one_hot(labels, logits), logits, None), weights)
    return {metric.name: metric.value(under) for metric in task.metrics}


@st.composite
def predictions(draw, classes=range(2, 6), films=range(1, 61)):
    """Labels and logits; coarse values, so that ties are common."""
    k, n = draw(st.sampled_from(classes)), draw(st.sampled_from(films))
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    steps = draw(hnp.arrays(np.int64, (n, k), elements=st.integers(-12, 12)))
    return labels, steps / draw(st.sampled_from([1, 2, 7]))


two_classes = predictions(classes=[2])


def two(scores):
    """Logits of two classes whose difference is the score."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.stack([np.zeros_like(scores), scores], axis=1)


def separable(films, seed=0, shift=1.0):
    """Well-behaved data: two overlapping normal distributions, about as many of each class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, films)
    return labels, two(generator.normal(size=films) + shift * (2 * labels - 1))


def each_its_own(labels):
    return [f"p{i}" for i in range(len(labels))]


def values(labels, logits, **options):
    estimates = evaluate(labels, logits, each_its_own(labels), resamples=0, **options)
    return {name: estimate.value for name, estimate in estimates.items()}


# -- the reference ---------------------------------------------------------------------------


def reference(labels, logits):
    """The metrics by scikit-learn, None where this package calls them undefined."""
    k, probabilities, decisions = logits.shape[1], softmax(logits), decide(logits)
    counts = np.bincount(labels, minlength=k)
    both = [c for c in range(k) if 0 < counts[c] < len(labels)]
    classes = [1] if k == 2 else both
    options = {"labels": classes, "average": "macro", "zero_division": 0}
    rest = [1 - (labels[:, None] == classes), 1 - (decisions[:, None] == classes)]
    areas = [(labels == c, probabilities[:, c]) for c in classes if c in both]
    expected = {
        "accuracy": sk.accuracy_score(labels, decisions),
        "loss": sk.log_loss(labels, probabilities, labels=range(k)),
        "auroc": np.mean([sk.roc_auc_score(*a) for a in areas]) if areas else None,
        "average_precision": (
            np.mean([sk.average_precision_score(*a) for a in areas]) if areas else None
        ),
    }
    if k == 2:
        positive, negative, flagged = counts[1], counts[0], (decisions == 1).any()
    else:
        positive = negative = flagged = bool(both)
    recall = sk.recall_score(labels, decisions, **options) if positive else None
    specificity = None
    if negative:
        columns = zip(rest[0].T, rest[1].T, strict=True)
        specificity = np.mean([sk.recall_score(t, d, zero_division=0) for t, d in columns])
    precision = sk.precision_score(labels, decisions, **options) if flagged else None
    f1 = sk.f1_score(labels, decisions, **options) if positive else None
    balanced = None
    if (counts > 0).sum() > 1:
        balanced = sk.balanced_accuracy_score(labels, decisions)
    rates = {"sensitivity": recall, "specificity": specificity, "precision": precision, "f1": f1}
    scores = probabilities[:, 1] if k == 2 else probabilities
    brier = sk.brier_score_loss(labels, scores, labels=range(k))
    errors = [plain_error(labels == c, probabilities[:, c]) for c in classes]
    ece = np.mean(errors) if errors else None
    return expected | rates | {"balanced_accuracy": balanced, "brier": brier, "ece": ece}


@settings(max_examples=150, deadline=None)
@given(predictions())
def test_every_value_is_scikit_learns(data):
    labels, logits = data
    ours, theirs = values(labels, logits), reference(labels, logits)
    assert list(ours) == KEYS
    for name in KEYS:
        expected = theirs[name]
        assert ours[name] == (None if expected is None else pytest.approx(expected, **CLOSE)), name


@settings(max_examples=100, deadline=None)
@given(two_classes, st.data())
def test_resampled_areas_are_scikit_learns_with_sample_weight(data, more):
    labels, logits = data
    drawn = more.draw(hnp.arrays(np.int64, (3, len(labels)), elements=st.integers(0, 3)))
    truth, scores = labels.astype(float), softmax(logits)[:, 1]
    areas = multiclass_metrics.areas(truth, scores, drawn.astype(float))
    for i, weights in enumerate(drawn):
        kept = weights > 0
        if len(set(labels[kept])) < 2:
            assert np.isnan([areas[0][i], areas[1][i]]).all()
            continue
        expected = (
            sk.roc_auc_score(labels, scores, sample_weight=weights),
            sk.average_precision_score(labels, scores, sample_weight=weights),
        )
        assert (areas[0][i], areas[1][i]) == pytest.approx(expected, **CLOSE)


@settings(max_examples=50, deadline=None)
@given(predictions())
def test_a_resample_is_the_metric_of_the_repeated_films(data):
    labels, logits = data
    times = np.arange(len(labels)) % 3
    if set(labels[times > 0]) != set(labels):
        return  # a class is missing from the resample: tested below
    under = resampled(labels, logits, times[None].astype(float))
    repeated = np.repeat(np.arange(len(labels)), times)
    again = resampled(labels[repeated], logits[repeated], np.ones((1, len(repeated))))
    for name, value in under.items():
        if name == "ece":
            continue  # its bins stay those of the sample
        assert value == pytest.approx(again[name], nan_ok=True, **CLOSE), name


def test_a_perfect_ranking_is_exactly_one():
    for films in range(4, 60):
        labels = np.arange(films) // 3 % 2
        scores = labels * 2 + np.arange(films) / 100
        perfect = evaluate(labels, two(scores), each_its_own(labels), resamples=50)
        assert perfect["auroc"] == perfect["average_precision"] == Estimate(1.0, 1.0, 1.0)


# -- properties ------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(predictions(films=range(2, 41)), st.randoms(use_true_random=False))
def test_the_order_of_the_films_does_not_matter(data, random):
    labels, logits = data
    patients = [f"p{i // 2}" for i in range(len(labels))]
    order = list(range(len(labels)))
    random.shuffle(order)
    before = evaluate(labels, logits, patients, resamples=40)
    after = evaluate(labels[order], logits[order], [patients[i] for i in order], resamples=40)
    for name in KEYS:
        for part in ("value", "low", "high"):
            expected = getattr(before[name], part)
            found = getattr(after[name], part)
            assert found == (None if expected is None else pytest.approx(expected, **CLOSE)), name


@settings(max_examples=50, deadline=None)
@given(two_classes, st.sampled_from([lambda x: x / 3 + 1, np.arctan, np.cbrt, lambda x: x**3 / 99]))
def test_a_monotone_transform_of_the_scores_keeps_auroc(data, transform):
    labels, logits = data
    scores = logits[:, 1]
    before, after = quick(labels, two(scores)), quick(labels, two(transform(scores)))
    assert after["auroc"] == pytest.approx(before["auroc"], nan_ok=True, **CLOSE)


@settings(max_examples=50, deadline=None)
@given(two_classes)
def test_swapped_classes_mirror(data):
    labels, logits = data
    one, other = quick(labels, two(logits[:, 1])), quick(1 - labels, -two(logits[:, 1]))
    assert other["auroc"] == pytest.approx(one["auroc"], nan_ok=True, **CLOSE)
    here, there = quick(labels, logits), quick(1 - labels, logits[:, ::-1])
    assert there["loss"] == pytest.approx(here["loss"], **CLOSE)


@settings(max_examples=100, deadline=None)
@given(predictions())
def test_accuracy_is_the_trace_of_the_confusion(data):
    labels, logits = data
    k = logits.shape[1]
    table = confusion(labels, logits)
    assert table.tolist() == sk.confusion_matrix(labels, decide(logits), labels=range(k)).tolist()
    assert values(labels, logits)["accuracy"] == np.trace(table) / len(labels)
    line = quick(labels, logits)
    assert line["accuracy"] == pytest.approx(np.trace(table) / len(labels), **CLOSE)
    assert line["loss"] == values(labels, logits)["loss"]
    assert all(type(number) is float for number in line.values())


@settings(max_examples=60, deadline=None)
@given(two_classes)
def test_youdens_threshold_is_the_best_of_all_and_on_no_film(data):
    labels, logits = data
    best = youden_threshold(labels, logits)
    if len(set(labels)) < 2:
        assert best is None
        return
    false_positives, sensitivity, _ = sk.roc_curve(labels, softmax(logits)[:, 1])
    reached = values(labels, logits, threshold=best)
    gain = reached["sensitivity_at_threshold"] + reached["specificity_at_threshold"] - 1
    assert gain == pytest.approx(max(sensitivity - false_positives), **CLOSE)
    scores = softmax(logits)[:, 1]
    if best in scores:  # between neighbouring floats there is none
        assert np.nextafter(best, 0) in scores


# -- intervals -------------------------------------------------------------------------------


def test_wilson_gives_the_papers_interval():
    paper = wilson(76, 86)
    assert (paper.value, paper.low, paper.high) == pytest.approx((0.8837, 0.799, 0.936), abs=5e-4)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert wilson(0, 0) == Estimate(None, None, None)
    for trials in range(1, 300):
        assert wilson(0, trials).low == 0
        assert wilson(trials, trials).high == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(80, 200))
def test_an_interval_contains_its_value(seed, films):
    labels, logits = separable(films, seed)
    estimates = evaluate(labels, logits, each_its_own(labels), resamples=200, threshold=0.4)
    assert list(estimates) == [*KEYS, "sensitivity_at_threshold", "specificity_at_threshold"]
    for name, estimate in estimates.items():
        if name == "ece":  # which has none
            assert (estimate.low, estimate.high) == (None, None)
        else:
            assert 0 <= estimate.low < estimate.value <= estimate.high, name


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    """Two unit normals 2 apart: AUROC is Φ(√2) = 0.9214; 95 % of 200 intervals, give or take."""
    truth, held = 0.5 * (1 + math.erf(1)), 0
    for seed in range(200):
        labels, logits = separable(150, seed)
        auroc = evaluate(labels, logits, each_its_own(labels), resamples=200)["auroc"]
        held += auroc.low <= truth <= auroc.high
    assert 176 <= held <= 200


@pytest.mark.parametrize("patients", [2, 5, 30, 10_000])
def test_a_bootstrap_of_few_patients_reaches_as_far_as_students_interval(patients):
    """Of normal draws: by √(n / (n - 1)) times Student's quantile, where the draws reach so far."""
    draws = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    found = percentile(0.0, [draws], patients)
    reach = np.sqrt(patients / (patients - 1)) * stats.t.ppf(0.975, patients - 1)
    assert found.high == pytest.approx(min(reach, draws[-1]), rel=1e-3)
    assert found.low == pytest.approx(-found.high)
    one = percentile(0.0, [draws], 1)
    assert (one.low, one.high) == (draws[0], draws[-1]), "of one patient nothing is known"


@given(st.lists(st.tuples(st.integers(-2, 1), st.sampled_from("abcdef")), min_size=1))
def test_the_rarest_kind_is_counted_in_patients(rows):
    kinds, patients = np.array([kind for kind, _ in rows]), [name for _, name in rows]
    of = [{name for kind, name in rows if kind == k} for k in (0, 1)]
    assert rarest(kinds, patients) == min((len(each) for each in of if each), default=0)


def test_the_same_seed_gives_the_same_interval():
    labels, logits = separable(90)
    same = [evaluate(labels, logits, each_its_own(labels), resamples=100) for _ in range(2)]
    assert same[0] == same[1]
    other = evaluate(labels, logits, each_its_own(labels), resamples=100, seed=1)
    assert other["auroc"].value == same[0]["auroc"].value
    assert other["auroc"].low != same[0]["auroc"].low


def test_intervals_do_not_depend_on_the_block_size(monkeypatch):
    labels, logits = separable(30)
    before = evaluate(labels, logits, each_its_own(labels), resamples=100)
    monkeypatch.setattr(estimates_module, "BLOCK", 7 * 30)
    after = evaluate(labels, logits, each_its_own(labels), resamples=100)
    assert [e.low for e in after.values()] == pytest.approx([e.low for e in before.values()])


def test_several_films_a_patient_widen_the_interval():
    labels, logits = separable(60)
    copied = np.repeat(np.arange(60), 4)
    patients = [f"p{i}" for i in copied]
    apart = evaluate(labels[copied], logits[copied], each_its_own(copied))
    together = evaluate(labels[copied], logits[copied], patients)
    single = evaluate(labels, logits, each_its_own(labels))
    for name in ("loss", "auroc", "average_precision", "f1"):
        widths = [e[name].high - e[name].low for e in (apart, together, single)]
        assert widths[1] > 1.7 * widths[0], name  # √4 = 2 in the limit
        assert widths[1] == pytest.approx(widths[2], rel=0.15), name  # copies tell nothing new


def test_one_patient_or_no_resamples_leave_no_bootstrap_interval():
    labels, logits = separable(30)
    for estimates in (
        evaluate(labels, logits, ["p"] * 30),
        evaluate(labels, logits, each_its_own(labels), resamples=0),
    ):
        assert estimates["auroc"].value is not None
        assert estimates["auroc"].low is estimates["auroc"].high is None
        assert estimates["accuracy"].low is not None


def test_a_rare_class_leaves_out_resamples_and_then_the_interval():
    """One positive patient is missing from 37 % of resamples; two that are each needed, 60 %."""
    labels = np.array([0] * 20 + [1])
    rare = evaluate(labels, two(np.arange(21) % 7), each_its_own(labels))
    assert rare["auroc"].low is not None
    labels = np.array([0] * 20 + [1, 2])
    logits = np.random.default_rng(0).normal(size=(22, 3))
    rarer = evaluate(labels, logits, each_its_own(labels))
    for name in KEYS[2:9]:
        assert rarer[name].value is not None, name
        assert rarer[name].low is rarer[name].high is None, name
    assert rarer["loss"].low is not None


def test_624_films_and_a_thousand_resamples_take_less_than_three_seconds():
    labels, logits = separable(624)
    start = time.perf_counter()
    evaluate(labels, logits, each_its_own(labels))
    assert time.perf_counter() - start < 3


# -- edges -----------------------------------------------------------------------------------


def test_only_negatives():
    logits = two([-1, -2, 3, -1])
    estimates = evaluate(np.zeros(4, dtype=np.int64), logits, list("abcd"), resamples=50)
    undefined = ("auroc", "average_precision", "sensitivity", "f1")
    assert [estimates[name] for name in undefined] == [Estimate(None)] * 4
    assert estimates["specificity"].value == 0.75
    assert estimates["precision"].value == 0  # one film flagged, wrongly
    assert estimates["loss"].low is not None
    assert math.isnan(quick(np.zeros(4, dtype=np.int64), logits)["auroc"])


def test_only_positives():
    estimates = evaluate(np.ones(3, dtype=np.int64), two([1, 2, -1]), list("abc"), resamples=50)
    undefined = ("auroc", "average_precision", "specificity")
    assert [estimates[name] for name in undefined] == [Estimate(None)] * 3
    assert estimates["sensitivity"].value == pytest.approx(2 / 3)
    assert estimates["precision"].value == 1
    assert estimates["f1"].value == pytest.approx(0.8)


def test_only_one_of_three_classes():
    logits = np.eye(3)
    estimates = evaluate(np.full(3, 2), logits, list("abc"), resamples=50)
    assert [estimates[name] for name in KEYS[2:9]] == [Estimate(None)] * 7
    assert estimates["accuracy"].value == pytest.approx(1 / 3)


def test_nothing_flagged_has_no_precision():
    estimates = evaluate(np.array([0, 1, 1]), two([-3, -2, -1]), list("abc"), resamples=50)
    assert estimates["precision"] == Estimate(None)
    assert (estimates["sensitivity"].value, estimates["f1"].value) == (0, 0)


def test_a_tied_pair_counts_half():
    labels = np.array([0, 1, 0, 1])
    assert values(labels, two([0, 0, -1, 1]))["auroc"] == 3.5 / 4
    assert values(labels, two([2, 2, 2, 2]))["auroc"] == 0.5
    equal = evaluate(labels, two([2, 2, 2, 2]), list("abcd"))["auroc"]
    assert equal == Estimate(0.5, 0.5, 0.5)


def test_a_tie_between_classes_goes_to_the_lowest_index():
    assert decide(np.array([[1.0, 1.0], [0.0, 1.0]])).tolist() == [0, 1]
    assert decide(np.array([[0.0, 2.0, 2.0]])).tolist() == [1]


def test_a_threshold_is_of_the_probability_and_inclusive():
    logits = two([-1, 0, 1])
    assert decide(logits, 0.5).tolist() == [0, 1, 1]
    assert decide(logits, 0.6).tolist() == [0, 0, 1]
    assert decide(logits, 0.0).tolist() == [1, 1, 1]
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="give a probability from 0 to 1"):
            decide(logits, bad)
    with pytest.raises(ValueError, match="for two classes"):
        decide(np.eye(3), 0.5)


def test_youdens_threshold_between_two_films():
    scores = np.array([-2.0, -1.0, 1.0, 2.0])
    best = youden_threshold(np.array([0, 0, 1, 1]), two(scores))
    assert best == pytest.approx(0.5)  # between the probabilities of −1 and 1
    assert youden_threshold(np.array([0, 1]), two([3, 3])) == pytest.approx(
        softmax(two([3]))[0, 1] / 2
    )
    assert youden_threshold(np.array([1, 1]), two([3, 3])) is None
    neighbours = two([0.0, 4e-16])
    best = youden_threshold(np.array([0, 1]), neighbours)
    assert decide(neighbours, best).tolist() == [0, 1]
    assert youden_threshold(np.array([0, 1, 2]), np.eye(3)) is None


def test_large_logits_do_not_overflow():
    labels, logits = np.array([0, 1]), np.array([[-1e4, 1e4], [-1e4, 1e4]], dtype=np.float32)
    assert softmax(logits).tolist() == [[0, 1], [0, 1]]
    assert quick(labels, logits)["loss"] == 1e4  # scikit-learn's would be clipped


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_no_number_is_refused_with_its_place(bad):
    labels, logits = separable(20)
    logits[7, 1] = logits[12] = bad
    calls = [
        lambda: evaluate(labels, logits, each_its_own(labels)),
        lambda: quick(labels, logits),
        lambda: youden_threshold(labels, logits),
        lambda: decide(logits),
        lambda: softmax(logits),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="a model that returns NaN has diverged") as error:
            call()
        message = str(error.value)
        assert message.startswith(
            "2 of 20 films have a NaN or infinite logit, the first at index 7"
        )
        assert "\n" not in message


@pytest.mark.parametrize(
    ("labels", "shape", "patients", "message"),
    [
        ([], (0, 2), [], "no films"),
        ([0, 0], (2, 1), ["a", "b"], "logits of 1 class: a classifier needs at least 2"),
        ([0, 2], (2, 2), ["a", "b"], "the label at index 1 is not of exactly one class"),
        ([-1, 1], (2, 2), ["a", "b"], "the label at index 0 is not of exactly one class"),
        ([0, 1, 1], (2, 2), ["a", "b"], r"labels \(3, 2\) for logits \(2, 2\)"),
        ([0, 1], (2, 2), ["a", "b", "c"], "3 patients for 2 films"),
    ],
)
def test_what_does_not_fit_together_is_refused(labels, shape, patients, message):
    labels = np.array(labels, dtype=np.int64)
    with pytest.raises(ValueError, match=message):
        evaluate(labels, np.zeros(shape), patients)
    if "patients" not in message:
        with pytest.raises(ValueError, match=message):
            quick(labels, np.zeros(shape))

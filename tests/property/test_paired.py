"""Paired tests against independent references, and intervals against simulated truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest, chi2
from sklearn.metrics import roc_auc_score

from rayograph.task import paired
from rayograph.task.luck import luck
from rayograph.task.multiclass import Multiclass
from rayograph.task.multilabel import Multilabel
from rayograph.task.seeds import seeds


def delong_by_pairs(truth, scores):
    """DeLong, DeLong and Clarke-Pearson's formulas 4 to 7 as they stand, over all pairs."""
    of, rest = scores[:, truth], scores[:, ~truth]
    psi = (of[:, :, None] > rest[:, None, :]) + 0.5 * (of[:, :, None] == rest[:, None, :])
    area = psi.mean(axis=(1, 2))
    v10, v01 = psi.mean(axis=2) - area[:, None], psi.mean(axis=1) - area[:, None]
    m, n = of.shape[1], rest.shape[1]
    return area, v10 @ v10.T / (m - 1) / m + v01 @ v01.T / (n - 1) / n


@st.composite
def rankings(draw):
    """Truth [n] with two of each kind, and coarse scores [m, n], so that ties are common."""
    n, models = draw(st.integers(4, 30)), draw(st.integers(1, 4))
    truth = draw(hnp.arrays(np.bool_, n))
    truth[:4] = [True, True, False, False]
    scores = draw(hnp.arrays(np.float64, (models, n), elements=st.integers(0, 8)))
    return truth, scores


@given(rankings())
def test_delong_is_that_of_all_pairs(case):
    truth, scores = case
    areas, covariance = paired.delong(truth, scores)
    area, reference = delong_by_pairs(truth, scores)
    np.testing.assert_allclose(areas, area, atol=1e-12)
    np.testing.assert_allclose(covariance, reference, atol=1e-12)
    np.testing.assert_allclose(areas, [roc_auc_score(truth, s) for s in scores], atol=1e-12)


def test_delong_by_hand():
    """Positives 3, 1 and negatives 2, 0: three of four pairs; both components are 1, 0.5."""
    areas, covariance = paired.delong(
        np.array([True, True, False, False]), np.array([[3.0, 1, 2, 0]])
    )
    assert areas == [0.75]
    assert covariance == [[0.125 / 2 + 0.125 / 2]]


def test_delong_undefined():
    one = paired.delong_test(np.array([True, False, False]), np.arange(3.0), np.arange(3.0))
    assert (one.difference.value, one.p) == (None, None)
    truth = np.array([True, True, False, False])
    same = paired.delong_test(truth, np.arange(4.0), np.arange(4.0) * 2)
    assert same.difference.value == 0
    assert (same.p, same.difference.low) == (None, None)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 19), (12, 12), (25, 0), (40, 21)])
def test_mcnemar(gained, lost):
    reference = np.array([False] * gained + [True] * lost + [True, False] * 7)
    other = np.array([True] * gained + [False] * lost + [True, False] * 7)
    found = paired.mcnemar(reference, other)
    assert (found.gained, found.lost) == (gained, lost)
    if gained + lost == 0:
        assert found.p == 1
    elif gained + lost < 25:
        assert found.kind == "exact binomial"
        assert found.p == pytest.approx(binomtest(gained, gained + lost).pvalue)
    else:
        assert "continuity" in found.kind
        corrected = (abs(gained - lost) - 1) ** 2 / (gained + lost)
        assert found.p == pytest.approx(chi2.sf(corrected, 1))


def test_holm_by_hand():
    assert paired.holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert paired.holm([0.9, 0.6]) == [1.0, 1.0]
    assert paired.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni(ps):
    found = paired.holm(ps)
    assert [found[i] for i in np.argsort(ps, kind="stable")] == sorted(found)
    for p, own in zip(ps, found, strict=True):
        assert p <= own <= min(1.0, p * len(ps))


def clustered(rng, patients, each):
    """Patient of each film, and what is common to a patient's films."""
    owner = np.repeat(np.arange(patients), each)
    return [f"{i:03}" for i in owner], rng.normal(size=patients)[owner]


def judge(correct):
    """The share of films [n] that are right, under multiplicities."""
    return lambda weights: weights @ correct / weights.sum(axis=1)


def test_the_difference_covers_the_truth_and_p_is_fair_where_films_of_a_patient_are_alike():
    rng, covered, told, sets = np.random.default_rng(0), 0, 0, 400
    for _ in range(sets):
        names, common = clustered(rng, 80, 3)
        right = [(0.4 + common * 0.8 + rng.normal(size=(240)) > 0).astype(float) for _ in "ab"]
        judges = [judge(each) for each in right]
        drawn = paired.bootstrap(judges, names, resamples=400)
        found = paired.difference(right[0].mean(), right[1].mean(), drawn, 80)
        covered += found.difference.low <= 0 <= found.difference.high
        told += found.p <= 0.05
    assert 0.93 <= covered / sets <= 0.97
    assert 0.03 <= told / sets <= 0.07


def test_a_difference_undefined_or_of_one_patient():
    none = paired.difference(np.nan, 0.5, np.zeros((0, 2)), 9)
    assert (none.difference.value, none.p) == (None, None)
    right = [np.array([1.0, 0, 0]), np.array([1.0, 1, 0])]
    drawn = paired.bootstrap([judge(each) for each in right], ["a", "a", "a"])
    assert drawn.shape == (0, 2)
    one = paired.difference(right[0].mean(), right[1].mean(), drawn, 1)
    assert one.difference.value == pytest.approx(1 / 3)
    assert (one.difference.low, one.p) == (None, None)


def test_equal_models_have_p_1_and_both_signs_are_alike():
    drawn = np.random.default_rng(1).normal(size=(500, 2))
    assert paired.difference(0.5, 0.5, np.repeat(drawn[:, :1], 2, axis=1), 9).p == 1
    there = paired.difference(0.1, 0.4, drawn, 9)
    back = paired.difference(0.4, 0.1, drawn[:, ::-1], 9)
    assert there.p == back.p
    assert there.difference.low == pytest.approx(-back.difference.high)


@pytest.mark.parametrize("task", [Multiclass("abc"), Multiclass("ab"), Multilabel("abc")])
def test_what_a_task_gives_under_multiplicities_is_what_it_evaluates(task):
    rng = np.random.default_rng(2)
    k = len(task.classes)
    labels = np.eye(k, dtype=np.int8)[rng.integers(k, size=60)]
    logits = rng.normal(size=(60, k))
    under = task.under(labels, logits, None)(np.ones((1, 60)))
    found = {metric.name: metric.value(under).item() for metric in task.wanted(None)}
    assert found == task.quick(labels, logits)
    by_label = {name: value(under).shape for name, value in task.by_label.items()}
    assert set(by_label.values()) <= {(1, k)}


@pytest.mark.parametrize(
    ("seed_sd", "patients", "least"), [(0.0, 120, 0.93), (0.3, 60, 0.93), (1.0, 120, 0.90)]
)
def test_the_interval_of_seeds_covers_what_the_recipe_reaches(seed_sd, patients, least):
    """Of 5 seeds; a run is right where patient + seed + its own noise is above a threshold.

    In the last case accuracies of seeds have a deviation of 0.2 and are skewed, so Student's
    interval covers less often than it says.
    """
    rng, sets, covered, films_alone = np.random.default_rng(3), 500, 0, 0
    from scipy.special import ndtr

    truth = ndtr(0.8 / np.sqrt(1 + 1 + seed_sd**2))
    for _ in range(sets):
        names, common = clustered(rng, patients, 2)
        shift = rng.normal(size=(5, 1)) * seed_sd
        right = (0.8 + common + shift + rng.normal(size=(5, len(common))) > 0).astype(float)
        drawn = paired.bootstrap([judge(each) for each in right], names, resamples=200)
        found = seeds(right.mean(axis=1), drawn, patients)
        covered += found.mean.low <= truth <= found.mean.high
        low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
        films_alone += low <= truth <= high
    assert least <= covered / sets <= 0.97
    if seed_sd == 1:
        assert films_alone / sets < 0.6  # what leaves the seed out does not cover


def test_seeds_by_hand_and_undefined():
    """Without films' chance the interval is Student's over the seeds."""
    values = np.array([0.7, 0.8, 0.9])
    found = seeds(values, np.tile(values, (50, 1)), 1000)
    assert found.mean.value == pytest.approx(0.8)
    assert found.deviation == pytest.approx(0.1)
    assert found.mean.high - 0.8 == pytest.approx(4.30265 * 0.1 / np.sqrt(3), rel=1e-4)
    assert seeds(np.array([0.7, np.nan]), np.zeros((0, 2)), 9).mean.value is None
    alone = seeds(values, np.zeros((0, 3)), 1)
    assert (alone.mean.value, alone.mean.low) == (pytest.approx(0.8), None)


def checkpoints(rng, skills, patients=100):
    """Who is right: the benchmark and checkpoints of these skills, on films two a patient."""
    names, common = clustered(rng, patients, 2)
    noise = rng.normal(size=(len(skills), len(common)))
    right = (np.array(skills)[:, None] + common + 0.5 * noise > 0).astype(float)
    return names, right


def judged(names, right, patients=100):
    drawn = paired.bootstrap([judge(each) for each in right], names, resamples=300)
    values = right.mean(axis=1)
    return luck(values[0], values[1:], drawn, patients)


def test_the_lead_of_the_best_of_equal_checkpoints_is_all_luck():
    rng, found = np.random.default_rng(4), []
    for _ in range(200):
        found.append(judged(*checkpoints(rng, [0.5] * 11)))
    assert np.mean([each.all_luck for each in found]) >= 0.93
    lead, expected = (np.mean([getattr(f, name) for f in found]) for name in ("lead", "expected"))
    assert lead > 0.01
    assert expected == pytest.approx(lead, rel=0.1)


def test_a_lead_that_is_real_is_told_and_bad_checkpoints_are_no_luck():
    rng = np.random.default_rng(5)
    real = [judged(*checkpoints(rng, [0.2] * 5 + [0.8])) for _ in range(40)]
    assert np.mean([each.all_luck for each in real]) <= 0.1
    assert {each.best for each in real if not each.all_luck} == {4}
    one = [judged(*checkpoints(rng, [0.5, 0.5])) for _ in range(40)]
    beside = [judged(*checkpoints(rng, [0.5, 0.5] + [-3] * 20)) for _ in range(40)]
    few, many = (np.mean([each.expected for each in f]) for f in (one, beside))
    assert many == pytest.approx(few, rel=0.15)


def test_luck_undefined():
    none = luck(0.5, np.array([np.nan]), np.zeros((0, 2)), 9)
    assert (none.best, none.lead, none.p, none.all_luck, none.share) == (None,) * 5
    single = luck(0.5, np.array([0.4, 0.6]), np.zeros((0, 3)), 1)
    assert (single.best, single.lead, single.p) == (1, pytest.approx(0.1), None)

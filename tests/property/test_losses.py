"""The loss of several labels: each policy for uncertain ones, by hand, over any shares."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayograph.config import RunConfig
from rayograph.data.manifest import LabelCounts
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN
from rayograph.train import losses

TARGETS = {"ignore": None, "positive": 1.0, "negative": 0.0, "smooth": 0.7}


def by_hand(labels, logits, policy, weights):
    """The mean over samples of the mean over known labels, and its gradient [n, k]."""
    n, k = labels.shape
    total, gradient = 0.0, np.zeros((n, k))
    for i in range(n):
        targets = {}
        for j in range(k):
            target = {PRESENT: 1.0, ABSENT: 0.0, UNCERTAIN: TARGETS[policy], MISSING: None}
            if target[labels[i, j]] is not None:
                targets[j] = target[labels[i, j]]
        for j, t in targets.items():
            p = 1 / (1 + math.exp(-logits[i, j]))
            loss = -weights[j] * t * math.log(p) - (1 - t) * math.log(1 - p)
            total += loss / len(targets) / n
            gradient[i, j] = (-weights[j] * t * (1 - p) + (1 - t) * p) / len(targets) / n
    return total, gradient


@st.composite
def batches(draw):
    """Labels in all states, logits, a policy, and where the workers' shares begin and end."""
    n, k, world = draw(st.integers(1, 12)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.choice([1, 0, -1, -2], (n, k)).astype(np.int8)
    cuts = sorted(rng.integers(0, n + 1, world - 1).tolist())
    balanced = draw(st.booleans())
    policy = draw(st.sampled_from(list(TARGETS)))
    return labels, rng.normal(size=(n, k)) * 2, policy, balanced, [0, *cuts, n]


@given(batches())
def test_the_gradient_over_all_workers_is_that_of_the_global_mean_by_hand(drawn):
    labels, values, policy, balanced, edges = drawn
    k = labels.shape[1]
    words = [f"labels.uncertain={policy}", *(["train.class_weights=balanced"] * balanced)]
    counts = {f"L{j}": LabelCounts(present=2 + j, absent=5) for j in range(k)}
    config = RunConfig.load(None, words)
    loss = losses.build("multilabel", config, counts, torch.device("cpu"))
    weights = [5 / (2 + j) if balanced else 1.0 for j in range(k)]
    logits = torch.tensor(values, requires_grad=True)
    for start, end in pairwise(edges):  # a worker's share; it may be empty
        _, weighted = loss(logits[start:end], torch.from_numpy(labels[start:end]))
        (weighted.sum() / len(labels)).backward()
    _, gradient = by_hand(labels, values, policy, weights)
    assert logits.grad.numpy() == pytest.approx(gradient, abs=1e-7)
    told, _ = loss(logits, torch.from_numpy(labels))
    total, _ = by_hand(labels, values, policy, [1.0] * k)
    assert told.mean().item() == pytest.approx(total, abs=1e-7)


def test_a_share_of_right_labels_counts_those_that_are_certain():
    loss = losses.MaskedCrossEntropy(None, None)
    labels = torch.tensor([[1, 0, -1], [-2, -1, -2], [0, 0, 1]], dtype=torch.int8)
    logits = torch.tensor([[2.0, 2.0, 2.0], [1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]])
    assert loss.correct(logits, labels).tolist() == [0.5, 1.0, 1.0]
    told, weighted = loss(logits, labels)
    assert told[1] == weighted[1] == 0

"""Probabilities fitted to the very labels that are to be doubted, so that models can be ranked.

Training with class weights shifts a model's probabilities towards the rare class, and one fold's
model is surer than another's: without this their most doubted labels are all of one class, and all
of the surest model. One slope and a shift for each class (Platt, Advances in Large Margin
Classifiers, 1999) are too few to learn which single labels are wrong.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from rayograph.task import ABSENT, PRESENT, Labels, Task
from rayograph.task.metric import Floats

SPREAD = 2.0  # of a normal prior on the logarithm of the slope, and on each shift


def adjusted(task: Task, labels: Labels, logits: Floats) -> Floats:
    """Probabilities [n, k] of logits [n, k], once fitted to labels int8 [n, k].

    Of labels each by itself, on the films in which it is known to be present or absent; one that
    these all agree on keeps its probabilities.
    """
    if not task.by_label:
        return np.asarray(softmax(_scaled(logits, _fitted(logits, labels == PRESENT)), axis=1))
    found = task.probabilities(logits)
    for k in range(logits.shape[1]):
        known = labels[:, k] >= ABSENT
        truth = labels[known, k] == PRESENT
        if 0 < truth.sum() < truth.size:
            pair = np.stack([np.zeros(len(logits)), logits[:, k]], axis=1)
            fit = _fitted(pair[known], np.stack([~truth, truth], axis=1))
            scaled = _scaled(pair, fit)
            found[:, k] = expit(scaled[:, 1] - scaled[:, 0])
    return found


def _scaled(logits: Floats, fit: Floats) -> Floats:
    return np.asarray(logits * np.exp(fit[0]) + fit[1:])


def _fitted(logits: Floats, truth: npt.NDArray[np.bool_]) -> Floats:
    """The logarithm of the slope, and the shift of each class, of the least cross-entropy."""
    n, centred = len(logits), logits - logits.mean(axis=1, keepdims=True)

    def loss(fit: Floats) -> tuple[float, Floats]:
        log = log_softmax(_scaled(centred, fit), axis=1)
        prior = (fit**2).sum() / (2 * SPREAD**2 * n)
        rest = (np.exp(log) - truth) / n
        slope = (rest * centred).sum() * np.exp(fit[0])
        gradient = np.concatenate([[slope], rest.sum(axis=0)]) + fit / (SPREAD**2 * n)
        return float(prior - log[truth].sum() / n), gradient

    found = minimize(loss, np.zeros(logits.shape[1] + 1), jac=True, method="L-BFGS-B")
    return np.asarray(found.x)

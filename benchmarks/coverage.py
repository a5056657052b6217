"""Do 95 % intervals hold the truth? Test sets are simulated of patients with several films.

    python -m benchmarks.coverage [--sets 1000] [--patients 200] [--films 4] [--resamples 2000]
        [--shift 1.0] [--confident 1.5]

A patient has 1 to FILMS films, a finding or none, and a tendency of his own that moves the scores
of all his films, so that films of one patient are alike. The truth
is what a very large set gives. One core; a line a metric: how many of the intervals hold the truth.
Of the calibration error, which rayograph gives no interval, what bootstraps would do is shown.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rayograph.task import Estimate, predictive
from rayograph.task.calibration import calibration_error
from rayograph.task.estimate import multiplicities
from rayograph.task.multiclass import Multiclass

Floats = npt.NDArray[np.float64]
POINT, PREVALENCE, SHARE = 0.7, 0.05, 0.25
TASK = Multiclass(("normal", "finding"))
METRICS = (
    "auroc", "average_precision", "accuracy", "sensitivity", "specificity", "precision",
    "balanced_accuracy", "f1", "brier", "loss", "sensitivity_at_threshold",
    "specificity_at_threshold",
)  # fmt: skip
TRUE_PATIENTS = 400_000


def drawn(
    chance: np.random.Generator, patients: int, asked: argparse.Namespace
) -> tuple[npt.NDArray[np.int8], Floats, list[str]]:
    """Labels [n, 2], logits [n, 2] and patients [n] of a set."""
    shift = asked.shift
    sizes = chance.integers(1, asked.films + 1, patients)
    owner = np.repeat(np.arange(patients), sizes)
    truth = (chance.random(patients) < SHARE)[owner]
    own, noise = chance.normal(size=patients)[owner], chance.normal(size=len(owner))
    score = shift * (2 * truth - 1) + (own + noise) / np.sqrt(2)
    logit = asked.confident * (2 * shift * score + np.log(SHARE / (1 - SHARE)))
    labels = np.stack([~truth, truth], axis=1).astype(np.int8)
    logits = np.stack([np.zeros(len(owner)), logit], axis=1)
    return labels, logits, [f"{i:06}" for i in owner]


def estimates(
    labels: npt.NDArray[np.int8], logits: Floats, patients: list[str], resamples: int
) -> dict[str, Estimate]:
    """Every metric and predictive value, with intervals."""
    found = TASK.evaluate(labels, logits, patients, (POINT,), resamples=resamples)
    decided = TASK.decide(TASK.probabilities(logits), (POINT,))
    values = predictive.predictive(
        labels, decided, patients, {"finding": 1}, [PREVALENCE], resamples
    )
    (at,) = values["finding"]
    told = {name: found.metrics[name] for name in METRICS}
    return {**told, "PPV at 5 %": at.ppv, "NPV at 5 %": at.npv}


def of_error(
    labels: npt.NDArray[np.int8], logits: Floats, patients: list[str], resamples: int
) -> Iterator[tuple[str, Estimate]]:
    """The calibration error with the intervals that a bootstrap would give it."""
    truth, scores = labels[:, 1].astype(np.float64), TASK.probabilities(logits)[:, 1]
    value = float(calibration_error(truth, scores, np.ones((1, len(scores))))[0])
    blocks = multiplicities(patients, resamples, 0)
    draws = np.concatenate([calibration_error(truth, scores, each) for each in blocks])
    low, high = np.quantile(draws, [0.025, 0.975])
    yield "ECE, percentile", Estimate(value, float(low), float(high))
    yield "ECE, basic", Estimate(value, 2 * value - float(high), 2 * value - float(low))
    bias = float(draws.mean()) - value
    yield "ECE, less its bias", Estimate(value, float(low) - 2 * bias, float(high) - 2 * bias)


def main() -> None:
    """Print how often each interval holds the truth."""
    parser = argparse.ArgumentParser(description="how often 95 %% intervals hold the truth")
    for name, number in (("sets", 1000), ("patients", 200), ("films", 4), ("resamples", 2000)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--shift", type=float, default=1.0, help="how well films are told apart")
    parser.add_argument("--confident", type=float, default=1.5, help="1: probabilities come true")
    asked = parser.parse_args()
    chance = np.random.default_rng(16)
    whole = drawn(chance, TRUE_PATIENTS, asked)
    truth = {name: found.value or 0.0 for name, found in estimates(*whole, 0).items()}
    truth |= {name: found.value or 0.0 for name, found in of_error(*whole, 2)}
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(asked.sets):
        one = drawn(chance, asked.patients, asked)
        for name, found in (*estimates(*one, asked.resamples).items(), *of_error(*one, 500)):
            if found.low is not None and found.high is not None:
                held[name].append(found.low <= truth[name] <= found.high)
    for name, inside in held.items():
        share = f"{np.mean(inside):6.1%}" if inside else "  none"
        print(f"{name:26} {truth[name]:8.4f}  {share} of {len(inside)}", flush=True)


if __name__ == "__main__":
    main()

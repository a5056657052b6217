"""Parts of the patients: judged as they would be alone, and their difference covers the truth."""

import numpy as np
import pytest

from rayograph.task.estimate import Estimate, wilson
from rayograph.task.multiclass import Multiclass
from rayograph.task.subgroups import difference, subgroups

TASK = Multiclass(["normal", "ill"])


def judged(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    logits = np.stack([np.zeros(n), 2 * truth - 1 + rng.normal(size=n)], axis=1)
    return np.eye(2, dtype=np.int8)[truth], logits, [f"p{i // 2}" for i in range(n)]


def test_a_part_is_judged_as_if_it_were_all_there_is() -> None:
    labels, logits, patients = judged(120)
    sexes = ["M", "F", None] * 40
    found = subgroups(TASK, labels, logits, patients, (0.4,), {"sex": sexes})["sex"]
    assert list(found.parts) == ["F", "M"]
    rows = [i for i, sex in enumerate(sexes) if sex == "F"]
    own = [patients[i] for i in rows]
    alone = TASK.evaluate(labels[rows], logits[rows], own, (0.4,)).metrics
    assert found.parts["F"].metrics == {name: alone[name] for name in TASK.headline}
    assert (found.parts["F"].films, found.parts["F"].patients) == (40, len(set(own)))
    gap = found.gaps["auroc"]
    values = [found.parts[name].metrics["auroc"].value for name in (gap.high, gap.low)]
    assert gap.difference.value == pytest.approx(values[0] - values[1])
    assert values[0] >= values[1]


def test_ages_are_judged_in_bands_and_columns_of_one_or_too_many_values_are_not() -> None:
    labels, logits, patients = judged(60)
    ages = [None, 17.5, 18, 59, 60, 90] * 10
    found = subgroups(
        TASK, labels, logits, patients, None,
        {"age": ages, "view": ["PA"] * 60, "maker": [f"m{i}" for i in range(60)],
         "modality": ["", None, "CR"] * 20},
    )  # fmt: skip
    assert list(found) == ["age"]
    films = {name: part.films for name, part in found["age"].parts.items()}
    assert films == {"0 to 17": 10, "18 to 39": 10, "40 to 59": 10, "60 to 79": 10,
                     "80 and older": 10}  # fmt: skip


def test_a_part_without_one_of_the_classes_has_no_area_and_no_gap() -> None:
    labels, logits, patients = judged(80)
    sexes = ["F" if row[1] else "M" for row in labels]
    found = subgroups(TASK, labels, logits, patients, None, {"sex": sexes})["sex"]
    assert found.parts["F"].metrics["auroc"] == Estimate(None)
    assert "auroc" not in found.gaps
    assert "accuracy" in found.gaps


def test_the_interval_of_a_difference_covers_it_in_95_of_100() -> None:
    rng = np.random.default_rng(1)
    counts = zip(rng.binomial(80, 0.9, 1000), rng.binomial(50, 0.8, 1000), strict=True)
    found = [difference(wilson(int(a), 80), wilson(int(b), 50)) for a, b in counts]
    covered = np.mean([each.low <= 0.1 <= each.high for each in found])
    assert 0.93 <= covered <= 0.97

"""Contract 4: patients stay whole, whatever the films."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rayograph.pack import split

films = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=120
)
fractions = st.floats(0.05, 0.5)


def cut(rows: list[tuple[int, int, int]], fraction: float, seed: int = 0) -> np.ndarray:
    patients, digests, labels = zip(*rows, strict=True)
    groups = split.group_by_patient([f"p{p}" for p in patients], [f"d{d}" for d in digests])
    names = [f"film{i:03}" for i in range(len(rows))]
    return split.holdout(groups, names, np.array(labels), fraction, seed)


@given(films, fractions)
def test_no_patient_and_no_identical_file_is_on_both_sides(rows, fraction):
    taken = cut(rows, fraction)
    for column in (0, 1):
        keys = [str(row[column]) for row in rows]
        sides = ["val" if t else "train" for t in taken]
        assert split.shared(keys, sides) == []


@given(st.lists(st.integers(0, 1), min_size=40, max_size=300), fractions)
def test_each_class_is_cut_in_proportion_where_patients_have_one_film(labels, fraction):
    rows = [(i, i, label) for i, label in enumerate(labels)]
    taken = cut([(p % 10**6, d, y) for p, d, y in rows], fraction)
    for label in set(labels):
        own = taken[np.array(labels) == label]
        if len(own) > 1:
            assert abs(own.sum() - fraction * len(own)) <= 1


@given(films, fractions, st.randoms(use_true_random=False))
def test_the_cut_does_not_depend_on_the_order_of_the_films(rows, fraction, random):
    patients, digests, labels = zip(*rows, strict=True)
    names = [f"film{i:03}" for i in range(len(rows))]
    order = list(range(len(rows)))
    random.shuffle(order)

    def taken(indices: list[int]) -> set[str]:
        groups = split.group_by_patient(
            [f"p{patients[i]}" for i in indices], [f"{digests[i]}" for i in indices]
        )
        shuffled = [names[i] for i in indices]
        mask = split.holdout(groups, shuffled, np.array([labels[i] for i in indices]), fraction, 3)
        return {name for name, out in zip(shuffled, mask, strict=True) if out}

    assert taken(order) == taken(list(range(len(rows))))


@given(films, fractions, st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), max_size=20))
def test_films_that_look_the_same_are_on_one_side(rows, fraction, pairs):
    alike = [(i % len(rows), j % len(rows)) for i, j in pairs]
    patients, digests, labels = zip(*rows, strict=True)
    groups = split.group_by_patient(list(map(str, patients)), list(map(str, digests)), alike)
    names = [f"film{i:03}" for i in range(len(rows))]
    taken = split.holdout(groups, names, np.array(labels), fraction, 0)
    assert all(taken[i] == taken[j] for i, j in alike)

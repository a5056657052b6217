"""Several rows of one film, as one: what `pack.several_rows` says that they are."""

from collections.abc import Sequence

import numpy as np

from rayograph.config import PackOptions
from rayograph.errors import UserError, one_line
from rayograph.pack.states import any_present
from rayograph.task import ABSENT, PRESENT, UNCERTAIN

Labels = tuple[int, ...] | None  # None: of a class that is left out


def together(
    uri: str,
    names: Sequence[str],
    groups: Sequence[Sequence[int]],
    labels: Sequence[Labels],
    options: PackOptions,
) -> list[Labels]:
    """The labels of each film, whose rows are `groups` of places in `labels`."""
    many = options.task == "multilabel"
    if not many and options.several_rows == "majority":
        raise UserError(
            "pack.several_rows=majority: is of several labels a film, pack.task=multilabel"
        )
    if not many and options.several_rows == "any" and (
        not options.classes or options.split == "test"
    ):  # fmt: skip
        raise UserError(
            "pack.several_rows=any: is of several labels a film (pack.task=multilabel), or of "
            "pack.classes with a negative class, which pack.split=test does not have; use equal"
        )
    found = []
    for name, group in zip(names, groups, strict=True):
        own = [labels[i] for i in group]
        found.append(own[0] if len(own) == 1 else _one(uri, name, own, options))
    return found


def _one(uri: str, name: str, own: Sequence[Labels], options: PackOptions) -> Labels:
    if len(set(own)) == 1:
        return own[0]
    if options.several_rows == "equal":
        raise _differ(uri, name, own)
    states = np.array([each for each in own if each is not None], np.int8)
    if options.several_rows == "majority":
        return tuple(_majority(states).tolist())
    if options.task == "multilabel":
        return tuple(any_present(states).tolist())
    positive = {each for each in own if each is not None and each[0] != PRESENT}
    if len(positive) > 1:
        raise _differ(uri, name, own)
    return positive.pop() if positive else next(each for each in own if each is not None)


def _majority(
    states: np.ndarray[tuple[int, ...], np.dtype[np.int8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """What more than half of the rows [n, k] that know a label say of it, int8 [k]."""
    known = (states >= UNCERTAIN).sum(axis=0)
    yes, no = ((states == state).sum(axis=0) * 2 > known for state in (PRESENT, ABSENT))
    undecided = np.where(known > 0, UNCERTAIN, any_present(states))
    return np.select([yes, no], [PRESENT, ABSENT], undecided).astype(np.int8)


def _differ(uri: str, name: str, own: Sequence[Labels]) -> UserError:
    return UserError(
        f"{uri}: the {len(own)} rows of {one_line(name)} say different labels; mend them, or "
        "choose another pack.several_rows"
    )

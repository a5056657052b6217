"""Whether evaluations are of the same samples, and what they say in one order."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rayograph import task as tasks
from rayograph.errors import UserError, one_line
from rayograph.runs.evaluations import Evaluation
from rayograph.task import Labels, Task
from rayograph.task.metric import Floats


def same_task(names: Sequence[str], found: Sequence[Evaluation]) -> Task:
    """The task of all evaluations; `UserError` where they are of other classes."""
    first = found[0]
    for name, each in zip(names, found, strict=True):
        if (each.task, each.classes) != (first.task, first.classes):
            raise UserError(
                f"{name}: tells {one_line(', '.join(each.classes))} ({each.task}), {names[0]} "
                f"{one_line(', '.join(first.classes))} ({first.task}); only models of the same "
                "classes in the same order can be compared"
            )
    return tasks.of(first.task, first.classes)


def aligned(
    names: Sequence[str], found: Sequence[Evaluation]
) -> tuple[list[str], list[str], Labels, list[Floats]]:
    """Ids and patients [n], labels [n, k] and each model's logits [n, k], in the order of ids.

    `UserError` where these are not the same samples, labels and patients.
    """
    logits: list[Floats] = []
    for name, each in zip(names, found, strict=True):
        table = each.predictions.sort_by("sample_id")
        ids, patients = (table.column(c).to_pylist() for c in ("sample_id", "patient_id"))
        labels, values = replace(each, predictions=table).arrays()
        if not logits:
            first = (ids, patients, labels)
        _check_same(f"{name} and {names[0]}", each.noun, (ids, patients, labels), first)
        logits.append(values)
    return (*first, logits)


def _check_same(
    who: str,
    noun: str,
    own: tuple[list[str], list[str], Labels],
    first: tuple[list[str], list[str], Labels],
) -> None:
    cure = "judge all on the same dataset and split, as by --data"
    if own[0] != first[0]:
        more, fewer = sorted({*own[0]} - {*first[0]}), sorted({*first[0]} - {*own[0]})
        raise UserError(
            f"{who} were judged on different {noun}: the one has {len(more)} that the other has "
            f"not, and lacks {len(fewer)}, such as {one_line((more + fewer)[0])}; {cure}"
        )
    for what, differ in (
        ("labels", (own[2] != first[2]).any(axis=1)),
        ("patients", np.array(own[1]) != np.array(first[1])),
    ):
        if differ.any():
            raise UserError(
                f"{who}: {differ.sum()} of {len(differ)} {noun} have other {what}, such as "
                f"{one_line(own[0][int(np.argmax(differ))])}; {cure}"
            )

"""Which classes or labels of a dataset are which of a model's: by name, or as the user says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import yaml

from rayograph.config.nearest import nearest
from rayograph.data.dataset import Dataset
from rayograph.errors import UserError, one_line
from rayograph.pack import labels
from rayograph.task import ABSENT, MISSING, PRESENT, UNCERTAIN, Labels, Task

FORM = "--map takes CLASS=THEIRS or CLASS=[THEIRS,THEIRS]"
STRENGTH = (ABSENT, MISSING, UNCERTAIN, PRESENT)  # of several labels joined the strongest holds
Asked = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Truth:
    """The labels of a split as a model's, int8 [n, k], and which films are judged, bool [n].

    `left_out` counts the others by their class in the dataset; `mapping` says of each of the
    model's classes what was mapped to it by the user, none where he said nothing.
    """

    labels: Labels
    judged: npt.NDArray[np.bool_]
    left_out: Mapping[str, int]
    mapping: Asked


def parse(words: Sequence[str]) -> Asked:
    """What `--map` options say; `UserError` where one is not of that form or a class comes twice.

    The right side is a YAML value, so that a name with a comma can be quoted.
    """
    found: dict[str, Sequence[str]] = {}
    for word in words:
        ours, sign, theirs = word.partition("=")
        ours = ours.strip()
        try:
            value = yaml.load(theirs, Loader=yaml.BaseLoader)  # texts only
        except yaml.YAMLError:
            value = None
        names = [value] if isinstance(value, str) else value
        plain = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
        if not sign or not ours or not names or not plain:
            raise UserError(f"--map {one_line(word)}: {FORM}, such as pneumonia=[Bacterial,Viral]")
        if ours in found:
            raise UserError(f"--map {one_line(ours)}: given twice; write {ours}=[A,B]")
        found[ours] = tuple(names)
    return found


def truth(task: Task, dataset: Dataset, split: str, found: Labels, asked: Asked) -> Truth:
    """Labels [n, m] of the dataset's m classes as labels of the model's.

    What `asked` names takes precedence; the rest is matched by name, as `pack` matches. Several
    labels joined: present where one is, else uncertain where one is, else missing where one is,
    else absent. With `asked`, films of a class that is mapped to nothing are left out; without,
    `UserError`; also where a name is of no class, or no label is one of the model's.
    """
    theirs = dataset.manifest.classes
    by_user = _by_user(task, dataset, asked)
    taken = {place for places in by_user.values() for place in places}
    columns = {i: list(places) for i, places in by_user.items()}
    for place, name in enumerate(theirs):
        own = _place(task.classes, name)
        if place in taken or own is None or own in by_user:
            continue
        if own in columns:
            first = theirs[columns[own][0]]
            raise UserError(
                f"{dataset.uri}: {one_line(name)} and {one_line(first)} are both "
                f"{one_line(task.classes[own])} of the model; keep one, or join them with --map"
            )
        columns[own] = [place]
    labelled = np.full((len(found), len(task.classes)), task.unlabelled, np.int8)
    for own, places in columns.items():
        labelled[:, own] = joined(found[:, places])
    unknown = [n for i, n in enumerate(theirs) if not any(i in p for p in columns.values())]
    judged = np.ones(len(found), dtype=bool)
    if asked and task.unlabelled != MISSING:
        judged = (labelled == PRESENT).any(axis=1)
    if not judged.any() or not task.valid(labelled[judged]) or len(unknown) == len(theirs):
        raise UserError(
            f"{dataset.uri}: the model does not know {one_line(', '.join(unknown))}, which {split} "
            f"films are; it knows {one_line(', '.join(task.classes))}: leave such films out, "
            "name the class as the model does, or say which is which: --map CLASS=THEIRS"
        )
    counts = Counter(theirs[i] for i in found[~judged].argmax(axis=1))
    mapping = {task.classes[i]: tuple(theirs[p] for p in places) for i, places in by_user.items()}
    return Truth(labelled, judged, dict(counts), mapping)


def joined(states: Labels) -> npt.NDArray[np.int8]:
    """One label [n] of several [n, m]: `or`, in which what is not known may still be present."""
    rank = np.zeros(4, np.int8)
    rank[np.array(STRENGTH) - MISSING] = np.arange(4)
    strongest = rank[states.astype(np.int64) - MISSING].max(axis=1)
    return np.asarray(np.array(STRENGTH, np.int8)[strongest])


def unmatched(task: Task, dataset: Dataset, asked: Asked) -> tuple[str, ...]:
    """The labels that one of model and dataset has and the other does not, for people."""
    mapped = _by_user(task, dataset, asked)
    used = {place for places in mapped.values() for place in places}
    theirs = dict(enumerate(dataset.manifest.classes))
    left = {place: name for place, name in theirs.items() if place not in used}
    own = {i: _place(tuple(left.values()), name) for i, name in enumerate(task.classes)}
    missing = [n for i, n in enumerate(task.classes) if i not in mapped and own[i] is None]
    if task.unlabelled != MISSING:  # a class that is absent is a count of 0
        return (
            (f"the dataset has no class for {one_line(', '.join(missing))}",)
            if (asked and missing)
            else ()
        )
    free = [name for i, name in enumerate(task.classes) if i not in mapped]
    unknown = [name for name in left.values() if _place(free, name) is None]
    told = []
    if unknown:
        told.append(f"the model does not know {one_line(', '.join(unknown))}")
    if missing:
        told.append(f"the dataset says nothing of {one_line(', '.join(missing))}")
    return tuple(told)


def _by_user(task: Task, dataset: Dataset, asked: Asked) -> dict[int, list[int]]:
    """Of each of the model's classes that the user names, which of the dataset's it is."""
    theirs, found = dataset.manifest.classes, dict[int, list[int]]()
    exclusive = task.unlabelled != MISSING
    for ours, names in asked.items():
        own = _known(task.classes, ours, "the model", ours)
        if own in found:
            raise UserError(f"--map {one_line(ours)}: given twice; write {ours}=[A,B]")
        places = [_known(theirs, name, dataset.uri, f"{ours}={name}") for name in names]
        before = {place: i for i, old in found.items() for place in old}
        for place in places:
            if places.count(place) > 1 or (exclusive and place in before):
                raise UserError(
                    f"--map {one_line(ours)}: {one_line(theirs[place])} is mapped twice; a film "
                    "is of one class"
                )
        found[own] = places
    return found


def _known(names: Sequence[str], name: str, whose: str, said: str) -> int:
    place = _place(names, name)
    if place is None:
        hint = nearest(name, list(names)) or f"; there are {one_line(', '.join(names))}"
        raise UserError(f"--map {one_line(said)}: {whose} has no class {one_line(name)}{hint}")
    return place


def _place(names: Sequence[str], name: str) -> int | None:
    """Where a name is among others, as it is written or in a spelling that `pack` takes as it."""
    spelled = {labels.plain(each): i for i, each in enumerate(names)}
    exact = {each: i for i, each in enumerate(names)}
    return exact.get(name, spelled.get(labels.plain(name)))

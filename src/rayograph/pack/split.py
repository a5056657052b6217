"""Who is trained on and who is tested: splits by patient, as pure functions of what is listed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rayograph.config import PackOptions
from rayograph.data.recipe import TableRecipe
from rayograph.errors import UserError
from rayograph.pack import stratify
from rayograph.pack.samples import Sample
from rayograph.pack.sources import Source
from rayograph.task import PRESENT

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Parts = npt.NDArray[np.object_]
Pairs = Sequence[tuple[str, str]]  # names of samples


TEST, VAL = 0.15, 0.15  # of the patients of a source that has no parts of its own


def assign(
    source: Source, samples: Sequence[Sample], alike: Pairs, options: PackOptions
) -> list[str]:
    """The part of each sample: `test` if asked, or the source's own, or cut by patient.

    A source without parts is cut 70/15/15; with `pack.folds` what is not for testing is dealt into
    folds. Samples that look the same are kept on one side, as are those of one patient.
    """
    if options.split == "test":
        return ["test"] * len(samples)
    parts = np.array([sample.split or "train" for sample in samples], dtype=object)
    pool = _Pool(source, samples, groups_of(samples, alike), options.seed)
    if not source.fixes_split:
        pool.hold_out(parts, "test", TEST)
    elif "train" not in parts:
        raise UserError(
            f"{source.uri}: no training films; it has {', '.join(sorted(set(parts)))}; "
            "films to judge models by: pack.split=test"
        )
    if options.folds:
        pool.deal(parts, options.folds)
    elif options.val == "none":
        parts[parts == "val"] = "train"
    elif not source.fixes_split:
        pool.hold_out(parts, "val", VAL / (1 - TEST))
    else:
        _cut_validation(source, parts, pool, options)
    return [str(part) for part in parts]


def _cut_validation(source: Source, parts: Parts, pool: "_Pool", options: PackOptions) -> None:
    has_val = "val" in parts
    if has_val and options.val == "cut":
        raise UserError(
            f"pack.val=cut: {source.uri} has a validation part of its own "
            f"({int((parts == 'val').sum())} films); use source or merge_and_cut"
        )
    if options.val == "merge_and_cut":
        parts[parts == "val"] = "train"
    if options.val != "source" or not has_val:
        pool.hold_out(parts, "val", options.val_fraction)


class _Pool:
    """Samples to cut from, and how: by class, or by all of their labels together."""

    def __init__(self, source: Source, samples: Sequence[Sample], groups: Ints, seed: int) -> None:
        self._by_class = source.task == "multiclass"
        self._labels = np.array([sample.labels for sample in samples], np.int8) == PRESENT
        self._names = [sample.sample_id for sample in samples]
        if isinstance(source.recipe, TableRecipe):  # whose rows may be numbered, in any order
            self._names = [sample.patient_id for sample in samples]
        self._groups = groups
        self._seed = seed

    def hold_out(self, parts: Parts, part: str, fraction: float) -> None:
        """Move a fraction of the training samples to a part."""
        pool = np.flatnonzero(parts == "train")
        groups, names = self._groups[pool], [self._names[i] for i in pool]
        if self._by_class:
            labels = self._labels[pool].argmax(axis=1)
            taken = holdout(groups, names, labels, fraction, self._seed)
        else:
            shares = (fraction, 1 - fraction)
            taken = stratify.deal(groups, names, self._labels[pool], shares, self._seed) == 0
        parts[pool[taken]] = part

    def deal(self, parts: Parts, folds: int) -> None:
        """Deal training and validation samples into folds; of few, some folds may get none."""
        pool = np.flatnonzero(parts != "test")
        names = [self._names[i] for i in pool]
        shares = (1 / folds,) * folds
        dealt = stratify.deal(self._groups[pool], names, self._labels[pool], shares, self._seed)
        parts[pool] = [f"fold-{fold}" for fold in dealt]


def order(parts: Iterable[str]) -> list[str]:
    """Parts in the order in which they are packed: training, validation, folds, test."""
    first = {"train": 0, "val": 1, "test": 3}
    return sorted(parts, key=lambda part: (first.get(part, 2), len(part), part))


def groups_of(samples: Sequence[Sample], alike: Pairs) -> Ints:
    """The group of each sample, int64 [n]: those that no cut may part."""
    patients, digests = [s.patient_id for s in samples], [s.sha256 for s in samples]
    place = {sample.sample_id: i for i, sample in enumerate(samples)}
    return group_by_patient(patients, digests, [(place[a], place[b]) for a, b in alike])


def group_by_patient(
    patients: Sequence[str], digests: Sequence[str], alike: Sequence[tuple[int, int]] = ()
) -> Ints:
    """The group of each film, int64 [n]: of one patient, identical files, and films that look so.

    `alike` are pairs of films by their places.
    """
    parent = list(range(len(patients)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for keys in (patients, digests):
        first: dict[str, int] = {}
        for i, key in enumerate(keys):
            parent[root(i)] = root(first.setdefault(key, i))
    for one, other in alike:
        parent[root(other)] = root(one)
    return np.array([root(i) for i in range(len(patients))], dtype=np.int64)


def holdout(groups: Ints, names: Sequence[str], labels: Ints, fraction: float, seed: int) -> Mask:
    """The films that a holdout of `fraction` takes: whole groups, each class in proportion.

    A group counts under its highest label. Within a class the groups are in the order of a hash
    of (seed, the group's smallest film name), so it does not depend on the order of the films,
    and films that come or go move few others. A class with two groups or more keeps one on each
    side.
    """
    taken = np.zeros(len(groups), dtype=bool)
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    strata: dict[int, list[list[int]]] = {}
    for films in members.values():
        strata.setdefault(int(labels[films].max()), []).append(films)
    for stratum in strata.values():
        stratum.sort(key=lambda films: _rank(seed, min(names[i] for i in films)))
        sizes = np.cumsum([len(films) for films in stratum])
        want = int(np.abs(np.concatenate([[0], sizes]) - fraction * sizes[-1]).argmin())
        if len(stratum) > 1:
            want = min(max(want, 1), len(stratum) - 1)
        for films in stratum[:want]:
            taken[films] = True
    return taken


def drawn(name: str, shares: Mapping[str, float], seed: int) -> str:
    """The part of a group by a hash of (seed, its first name), which is as good as a die.

    Where few groups come at a time a cut would give each part at least one of them; so each part
    gets its share in the long run, however few come at once.
    """
    number, so_far = int.from_bytes(_rank(seed, name)[:8], "big") / 2**64, 0.0
    for part, share in shares.items():
        so_far += share
        if number < so_far:
            return part
    return list(shares)[-1]


def shared(keys: Sequence[str], splits: Sequence[str]) -> list[str]:
    """The keys (patients, or hashes of files) that occur in more than one split, sorted."""
    seen: dict[str, str] = {}
    return sorted(
        {k for k, split in zip(keys, splits, strict=True) if seen.setdefault(k, split) != split}
    )


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()

"""Who is trained on and who is tested: splits by patient, as pure functions of what is listed."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rayograph.config import PackOptions
from rayograph.errors import UserError
from rayograph.pack.sources import Source, SourceItem

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def assign(
    source: Source, items: Sequence[SourceItem], digests: Sequence[str], options: PackOptions
) -> list[str]:
    """The part of each film: `test` if asked, or the source's own, or cut by patient (70/15/15)."""
    if options.split == "test":
        return ["test"] * len(items)
    labels = np.array([source.classes.index(item.label) for item in items], dtype=np.int64)
    names = [item.sample_id for item in items]
    groups = group_by_patient([item.patient_id for item in items], digests)
    parts = np.array([item.split or "train" for item in items], dtype=object)

    def hold_out(part: str, fraction: float) -> None:
        pool = np.flatnonzero(parts == "train")
        own = [names[i] for i in pool]
        parts[pool[holdout(groups[pool], own, labels[pool], fraction, options.seed)]] = part

    if not source.fixes_split:
        hold_out("test", 0.15)
        hold_out("val", 0.15 / 0.85)
        return [str(part) for part in parts]
    if "train" not in parts:
        raise UserError(
            f"{source.uri}: no training films; it has {', '.join(sorted(set(parts)))}; "
            "films to judge models by: pack.split=test"
        )
    has_val = "val" in parts
    if has_val and options.val == "cut":
        raise UserError(
            f"pack.val=cut: {source.uri} has a validation part of its own "
            f"({int((parts == 'val').sum())} films); use source or merge_and_cut"
        )
    if options.val == "merge_and_cut":
        parts[parts == "val"] = "train"
    if options.val != "source" or not has_val:
        hold_out("val", options.val_fraction)
    return [str(part) for part in parts]


def group_by_patient(patients: Sequence[str], digests: Sequence[str]) -> Ints:
    """The group of each film, int64 [n]: films of one patient, and identical files, share one."""
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


def shared(keys: Sequence[str], splits: Sequence[str]) -> list[str]:
    """The keys (patients, or hashes of files) that occur in more than one split, sorted."""
    seen: dict[str, str] = {}
    return sorted(
        {k for k, split in zip(keys, splits, strict=True) if seen.setdefault(k, split) != split}
    )


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()

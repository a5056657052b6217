"""What a packed dataset says about itself: its manifest, with counts, moments and findings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rayograph.config import PackOptions
from rayograph.data import census, moments
from rayograph.data.inputs import Inputs
from rayograph.data.manifest import SPLITS, Finding, LabelCounts, Manifest, Part
from rayograph.errors import one_line
from rayograph.pack import split
from rayograph.pack.identify import NAMED, Identified
from rayograph.pack.samples import Sample
from rayograph.pack.shard import Packed, ShardTask
from rayograph.pack.split import Pairs

SIGNS = {name: census.SIGNS[name] for name in ("inverted", "burnt_in")}  # that something is wrong


class PackedSample(NamedTuple):
    """One packed sample, and where it now lies."""

    sample: Sample
    part: str
    shard: str


def stored(samples: Sequence[Sample], tasks: Sequence[ShardTask]) -> list[PackedSample]:
    """Every packed sample, in stored order."""
    named = {sample.sample_id: sample for sample in samples}
    return [PackedSample(named[name], task.part, task.path) for task in tasks for name in task.ids]


def by_part(tasks: Sequence[ShardTask], results: Sequence[Packed]) -> dict[str, list[Packed]]:
    """What was written of each part."""
    found: dict[str, list[Packed]] = {}
    for task, packed in zip(tasks, results, strict=True):
        found.setdefault(task.part, []).append(packed)
    return found


def manifest(
    dest: str,
    found: Identified,
    inputs: Inputs,
    packed: Sequence[PackedSample],
    written: Mapping[str, Sequence[Packed]],
    alike: Pairs,
    options: PackOptions,
) -> Manifest:
    """The manifest of what was packed, with its fingerprint; `written` is of each part."""
    source = found.source
    parts = dict(_parts(source.classes, packed, written))
    made = Manifest(
        name=dest.rpartition("/")[2],
        task=source.task,
        classes=source.classes,
        inputs=inputs,
        recipe=source.recipe,
        parts=parts,
        splits={name: (name,) for name in parts if name in SPLITS},
        findings=(
            *source.findings,
            *_left_out(found),
            *_absent(found, parts, options),
            *_odd(packed),
            *_leaks(packed, alike),
        ),
        ignored=dict(source.ignored),
        rejected=len(found.rejected),
    )
    return made.model_copy(update={"fingerprint": made.computed_fingerprint()})


def _left_out(found: Identified) -> Iterator[Finding]:
    """What the source has that was not packed."""
    for loss, kind, told in (
        (True, "rejected", "films rejected"),
        (False, "no_films_at_all", "files are left out that are no films, or that no row names"),
    ):
        own = [rejection for rejection in found.rejected if rejection.loss == loss]
        if own:
            message = f"{len(own)} {told}; the first is {own[0].sample_id}: {own[0].reason}"
            films = tuple(rejection.sample_id for rejection in own[:NAMED])
            yield Finding(kind=kind, message=message, films=films)
    ignored = found.source.ignored
    if ignored:
        kinds = sorted(ignored.items(), key=lambda item: -item[1])[:NAMED]
        told = ", ".join(f"{suffix} {count}" for suffix, count in kinds)
        message = f"{sum(ignored.values())} files are no films by their names: {told}"
        yield Finding(kind="ignored", message=message)


def _odd(packed: Sequence[PackedSample]) -> Iterator[Finding]:
    """Films that look as if something had gone wrong before they came here."""
    found: dict[str, list[str]] = {sign: [] for sign in SIGNS}
    for sample, _, _ in packed:
        metadata = sample.metadata
        for sign, own in found.items():
            if metadata.get(sign) is True:
                own.append(sample.sample_id)
    for sign, own in found.items():
        if own:
            message = f"{len(own)} films {SIGNS[sign]}, the first is {own[0]}"
            yield Finding(kind=sign, message=one_line(message), films=tuple(own[:NAMED]))


def _absent(
    found: Identified, parts: Mapping[str, Part], options: PackOptions
) -> Iterator[Finding]:
    """Splits that have no films, or none of a class: nothing can be chosen, or judged, by them."""
    if set(parts) == {"test"}:  # nothing is chosen by films that models are judged by
        return
    own, few = {s.split for s in found.samples}, "too few patients to take some from training"
    for name, use in (("val", "the best epoch is chosen by"), ("test", "a model is judged by")):
        fixed = name in own or (name == "test" and found.source.fixes_split)
        why = "the source has none" if fixed else few
        if name == "val" and "train" not in parts:  # each fold is, once
            continue
        if name not in parts:
            chosen = name == "val" and options.val == "none"
            why = "pack.val=none, so the last epoch is the model" if chosen else why
            yield Finding(kind="no_films", message=f"no {name} films, which {use}: {why}")
            continue
        absent = [label for label, counts in parts[name].labels.items() if not counts.present]
        if absent:
            message = f"no {name} films of {one_line(', '.join(absent))}: {why}"
            yield Finding(kind="no_films_of_class", message=message)


def _parts(
    classes: Sequence[str],
    packed: Sequence[PackedSample],
    written: Mapping[str, Sequence[Packed]],
) -> Iterator[tuple[Any, Part]]:
    for name in split.order(written):
        own = [each.sample for each in packed if each.part == name]
        labels = np.array([sample.labels for sample in own], np.int8)
        yield (
            name,
            Part(
                shards=tuple(shard for each in written[name] for shard in each.shards),
                patients=len({sample.patient_id for sample in own}),
                labels={c: _counts(labels[:, i]) for i, c in enumerate(classes)},
                moments=moments.total(each.moments for each in written[name]),
            ),
        )


def _counts(labels: npt.NDArray[np.int8]) -> LabelCounts:
    present, absent, uncertain, missing = (int((labels == v).sum()) for v in (1, 0, -1, -2))
    return LabelCounts(present=present, absent=absent, uncertain=uncertain, missing=missing)


def _leaks(packed: Sequence[PackedSample], alike: Pairs) -> Iterator[Finding]:
    """What two parts share: patients, identical files, films that look the same."""
    parts = [each.part for each in packed]
    patients = split.shared([each.sample.patient_id for each in packed], parts)
    if patients:
        message = f"{len(patients)} patients are in more than one split, as the source fixes it"
        yield Finding(kind="patient_in_two_splits", message=message, films=tuple(patients[:NAMED]))
    files = set(split.shared([each.sample.sha256 for each in packed], parts))
    if files:
        own = [each.sample.sample_id for each in packed if each.sample.sha256 in files]
        message = f"{len(files)} identical files are in more than one split"
        films = tuple(own[:NAMED])
        yield Finding(kind="identical_file_in_two_splits", message=message, films=films)
    crossing = pairs_across(packed, alike)
    for one, other in dict.fromkeys((a.part, b.part) for a, b in crossing):
        pairs = [(a, b) for a, b in crossing if (a.part, b.part) == (one, other)]
        message = f"{len(pairs)} pairs of {one} and {other} films look the same"
        shown = tuple(f"{a.sample.sample_id} ~ {b.sample.sample_id}" for a, b in pairs[:NAMED])
        yield Finding(kind="near_identical", message=message, films=shown)


def pairs_across(
    packed: Sequence[PackedSample], alike: Pairs
) -> list[tuple[PackedSample, PackedSample]]:
    """The pairs that look the same of which two parts have one each, training's first.

    Identical files are none, as they are told by themselves; what looks like one of them looks like
    all.
    """
    place = {each.sample.sample_id: i for i, each in enumerate(packed)}
    copies: dict[str, list[int]] = {}
    for i, each in enumerate(packed):
        copies.setdefault(each.sample.sha256, []).append(i)
    found = set()
    for pair in alike:
        one, other = (copies[packed[place[name]].sample.sha256][:NAMED] for name in pair)
        if one != other:
            found |= {(min(i, j), max(i, j)) for i in one for j in other}
    pairs = ((packed[i], packed[j]) for i, j in sorted(found))
    return [(a, b) for a, b in pairs if a.part != b.part]

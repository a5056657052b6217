"""What a packed dataset says about itself: its manifest, with counts, moments and findings."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rayograph.data import moments
from rayograph.data.inputs import Inputs
from rayograph.data.manifest import SPLITS, Finding, LabelCounts, Manifest, Part
from rayograph.errors import one_line
from rayograph.pack import lookalikes, split
from rayograph.pack.scan import Scanned
from rayograph.pack.shard import Packed, ShardTask
from rayograph.pack.sources import Source, SourceItem

NAMED = 20  # films that a finding names; the message counts them all


class PackedSample(NamedTuple):
    """One packed sample: what the source said of it, and where it now lies."""

    item: SourceItem
    part: str
    shard: str
    labels: npt.NDArray[np.int8]  # [k]
    sha256: str


def stored(
    tasks: Sequence[ShardTask], results: Sequence[Packed], scanned: Mapping[str, Scanned]
) -> list[PackedSample]:
    """Every packed sample, in stored order."""
    return [
        PackedSample(
            task.items[i], task.part, task.path, task.labels[i],
            scanned[task.items[i].sample_id].sha256,
        )
        for task, packed in zip(tasks, results, strict=True)
        for i in packed.kept
    ]  # fmt: skip


def manifest(
    dest: str,
    source: Source,
    inputs: Inputs,
    samples: Sequence[PackedSample],
    results: Sequence[Packed],
    rejected: Mapping[str, str],
) -> Manifest:
    """The manifest of what was packed, with its fingerprint."""
    parts = dict(_parts(source.classes, samples, results))
    found = Manifest(
        name=dest.rpartition("/")[2],
        task=source.task,
        classes=source.classes,
        inputs=inputs,
        recipe=source.recipe,
        parts=parts,
        splits={name: (name,) for name in parts if name in SPLITS},
        findings=(
            *source.findings,
            *_left_out(source, rejected),
            *_absent(source, parts),
            *_leaks(samples, results),
        ),
        ignored=dict(source.ignored),
        rejected=len(rejected),
    )
    return found.model_copy(update={"fingerprint": found.computed_fingerprint()})


def _left_out(source: Source, rejected: Mapping[str, str]) -> Iterator[Finding]:
    """What the source has that was not packed."""
    if rejected:
        name, reason = next(iter(rejected.items()))
        message = f"{len(rejected)} films rejected; the first is {name}: {reason}"
        yield Finding(kind="rejected", message=message, films=tuple(rejected)[:NAMED])
    if source.ignored:
        kinds = sorted(source.ignored.items(), key=lambda item: -item[1])[:NAMED]
        told = ", ".join(f"{suffix} {count}" for suffix, count in kinds)
        message = f"{sum(source.ignored.values())} files are no films by their names: {told}"
        yield Finding(kind="ignored", message=message)


def _absent(source: Source, parts: Mapping[str, Part]) -> Iterator[Finding]:
    """Splits that have no films, or none of a class: nothing can be chosen, or judged, by them."""
    if set(parts) == {"test"}:  # nothing is chosen by films that models are judged by
        return
    own, few = {i.split for i in source.items}, "too few patients to take some from training"
    for name, use in (("val", "the best epoch is chosen by"), ("test", "a model is judged by")):
        fixed = name in own or (name == "test" and source.fixes_split)
        why = "the source has none" if fixed else few
        if name == "val" and "train" not in parts:  # each fold is, once
            continue
        if name not in parts:
            yield Finding(kind="no_films", message=f"no {name} films, which {use}: {why}")
            continue
        absent = [label for label, counts in parts[name].labels.items() if not counts.present]
        if absent:
            message = f"no {name} films of {one_line(', '.join(absent))}: {why}"
            yield Finding(kind="no_films_of_class", message=message)


def _parts(
    classes: Sequence[str], samples: Sequence[PackedSample], results: Sequence[Packed]
) -> Iterator[tuple[Any, Part]]:
    for name in split.order({sample.part for sample in samples}):
        own = [sample for sample in samples if sample.part == name]
        packed = [each for each in _of(results, name) if each.shard.rows]
        if own:
            labels = np.stack([sample.labels for sample in own])
            yield (
                name,
                Part(
                    shards=tuple(each.shard for each in packed),
                    patients=len({sample.item.patient_id for sample in own}),
                    labels={c: _counts(labels[:, i]) for i, c in enumerate(classes)},
                    moments=moments.total(each.moments for each in packed),
                ),
            )


def _counts(labels: npt.NDArray[np.int8]) -> LabelCounts:
    present, absent, uncertain, missing = (int((labels == v).sum()) for v in (1, 0, -1, -2))
    return LabelCounts(present=present, absent=absent, uncertain=uncertain, missing=missing)


def _of(results: Sequence[Packed], part: str) -> list[Packed]:
    return [packed for packed in results if packed.shard.path.startswith(f"{part}/")]


def _leaks(samples: Sequence[PackedSample], results: Sequence[Packed]) -> Iterator[Finding]:
    """What two parts share: patients, identical files, films that look the same."""
    parts = [sample.part for sample in samples]
    patients = split.shared([sample.item.patient_id for sample in samples], parts)
    if patients:
        message = f"{len(patients)} patients are in more than one split, as the source fixes it"
        yield Finding(kind="patient_in_two_splits", message=message, films=tuple(patients[:NAMED]))
    files = set(split.shared([sample.sha256 for sample in samples], parts))
    if files:
        offenders = tuple(s.item.sample_id for s in samples if s.sha256 in files)[:NAMED]
        message = f"{len(files)} identical files are in more than one split"
        yield Finding(kind="identical_file_in_two_splits", message=message, films=offenders)
    every = split.order(set(parts))
    looks = {name: _looks(_of(results, name)) for name in every}
    named = {part: [s.item.sample_id for s in samples if s.part == part] for part in every}
    for other, one in itertools.combinations(reversed(every), 2):
        a, b = looks[one], looks[other]
        pairs = lookalikes.near_identical((b[0], a[0]), (b[1], a[1]))
        if pairs:
            message = f"{len(pairs)} pairs of {one} and {other} films look the same"
            shown = tuple(f"{named[other][i]} ~ {named[one][j]}" for i, j in pairs[:NAMED])
            yield Finding(kind="near_identical", message=message, films=shown)


def _looks(packed: Sequence[Packed]) -> tuple[Any, Any]:
    """Hashes uint64 [n] and thumbnails uint8 [n, 64, 64] of the films of one part."""
    side = lookalikes.THUMB
    hashes, thumbs = np.empty(0, np.uint64), np.empty((0, side, side), np.uint8)
    return (
        np.concatenate([hashes, *(each.hashes for each in packed)]),
        np.concatenate([thumbs, *(each.thumbs for each in packed)]),
    )

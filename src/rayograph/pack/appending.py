"""New films into a packed dataset: what was packed stays as it is, in its part and in its shard."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rayograph import storage
from rayograph.config import PackOptions
from rayograph.data import dataset
from rayograph.data.dataset import Dataset
from rayograph.data.manifest import Manifest, Shard
from rayograph.errors import UserError, one_line
from rayograph.pack import checks, describe, fitting, known, plan, pseudonyms, split
from rayograph.pack.describe import PackedSample
from rayograph.pack.identify import Identified, identified
from rayograph.pack.looks import Looks
from rayograph.pack.mapper import Mapper
from rayograph.pack.packing import finish, remove_stale
from rayograph.pack.pseudonyms import Pseudonyms
from rayograph.pack.samples import Sample
from rayograph.pack.scan import Scan, scan
from rayograph.pack.shard import Packed, write_shard
from rayograph.pack.sources import Source, SourceItem
from rayograph.pack.split import Pairs

READERS = 16  # originals that are looked up at once


def append(
    source: Source,
    dest: str,
    mapper: Mapper,
    note: Callable[[str], object] = lambda _: None,
) -> Manifest:
    """Add to a dataset what a source has and it lacks, by name; shards that are there stay.

    New samples of a known patient, copies of a known file and those that look like a known film go
    to its part, unless the source says that they are for testing; the others go where the source
    says, or are drawn, each part by its share, as a source of their own would be cut. Raises
    `UserError` where what is known was labelled or written anew since, or was packed by another
    recipe.
    """
    dest, options = storage.absolute(dest), source.options
    old = Dataset.open(dest)
    source = fitting.known_classes(source, old, options)
    salt = pseudonyms.chosen(source, options)
    before = known.samples(old)
    _check_salt(old, salt)
    fresh = _fresh(source, old, before, salt)
    if not fresh.items:
        note("nothing is new")
        return old.manifest
    with Looks() as looks:
        before = known.with_looks(old, before, looks)
        seen = scan(fresh, old.inputs, dest, salt, mapper, looks)
        _check_names(old, before, seen)
        found = identified(fresh, seen, options, salt, salted=old.manifest.salted is not None)
        checks.rejected(found, len(source.items), options)
        found = fitting.of_dataset(found, old)
        samples = [*(each.sample for each in before), *found.samples]
        alike = looks.alike(samples)
        parts = _parts(found, before, alike, old.manifest, options)
        rows = max(batch.rows for shard in _shards(old) for batch in shard.batches)
        present = {name: len(part.shards) for name, part in old.manifest.parts.items()}
        pairs = list(zip(found.samples, parts, strict=True))
        tasks = list(plan.shards(dest, pairs, seen, old.inputs, options, rows, present))
        written = describe.by_part(tasks, list(mapper("packing", write_shard, tasks)))
        for name, part in old.manifest.parts.items():
            there = Packed(shards=part.shards, moments=part.moments)
            written[name] = [there, *written.get(name, [])]
        every = [*before, *describe.stored(found.samples, tasks)]
        order = split.order(written)
        every.sort(key=lambda each: order.index(each.part))  # stable: what was there comes first
        told = replace(found.source, findings=fitting.findings(found, old))
        whole = Identified(told, samples, found.rejected)
        manifest = describe.manifest(dest, whole, old.inputs, every, written, alike, options)
        manifest = manifest.model_copy(update={"salted": old.manifest.salted or seen.salted(salt)})
        finish(dest, whole, every, alike, looks, manifest)
    remove_stale(dest, manifest)
    return manifest


def _shards(old: Dataset) -> list[Shard]:
    return [shard for part in old.manifest.parts.values() for shard in part.shards]


def _check_salt(old: Dataset, salt: Pseudonyms | None) -> None:
    """Raise `UserError` where patients would have other names than before, and new parts."""
    packed = old.manifest.salted
    if packed is not None and packed != (salt and salt.check):
        raise UserError(
            f"{old.uri}: was packed with another {pseudonyms.SALT} or pack.identifiers, by which "
            "its patients have their names; set the same, or pack again with --overwrite"
        )


def _check_names(old: Dataset, before: Sequence[PackedSample], seen: Scan) -> None:
    """Raise `UserError` where new films have headers, and the known ones are named as they are."""
    named = any(each.sample.patient_id != each.sample.sample_id for each in before)
    if old.manifest.salted is None and seen.private and named:
        raise UserError(
            f"{old.uri}: was packed without DICOM, so its patients are not hashed as those of the "
            "new films are; pack all of them again with --overwrite"
        )


def _fresh(
    source: Source, old: Dataset, before: Sequence[PackedSample], salt: Pseudonyms | None
) -> Source:
    """What a source has and a dataset lacks; `UserError` where the rest is not as it was packed."""
    by_name = {each.sample.sample_id: each.sample for each in before}
    by_name |= {each.sample.origin: each.sample for each in before if each.sample.origin}
    items, again = [], []
    for item in source.items:
        sample = by_name.get(item.sample_id)
        if sample is None and salt is not None:
            sample = by_name.get(salt.of(item.sample_id))
        if sample is None:
            items.append(item)
            continue
        if item.labels and item.labels != sample.labels:
            raise UserError(
                f"{old.uri}: {one_line(sample.sample_id)} has another label now; --append adds "
                "films and changes none: pack again with --overwrite"
            )
        again.append((item, sample))
    _check_bytes(old, again)
    return replace(source, items=tuple(items))


def _check_bytes(old: Dataset, again: Sequence[tuple[SourceItem, Sample]]) -> None:
    """Raise `UserError` where an original has other bytes than when it was packed.

    Only those are read that were written since, or lie elsewhere: what another folder has under
    the same name may be another film.
    """
    packed = storage.modified(storage.join(old.uri, dataset.MANIFEST))

    def changed(pair: tuple[SourceItem, Sample]) -> bool:
        item, sample = pair
        there = _root(item.uri, item.sample_id) == _root(sample.source, sample.sample_id)
        if there and item.data is None and storage.modified(item.uri) < packed:
            return False
        return hashlib.sha256(item.read()).hexdigest() != sample.sha256

    with ThreadPoolExecutor(READERS) as pool:
        for (_, sample), other in zip(again, pool.map(changed, again), strict=True):
            if other:
                raise UserError(
                    f"{old.uri}: {one_line(sample.sample_id)} is another film now; --append adds "
                    "films, by their names, and changes none: pack again with --overwrite"
                )


def _root(uri: str, name: str) -> str:
    """Where a source begins, of the place of a film and its name there."""
    return uri.removesuffix(name)


def _parts(
    found: Identified,
    before: Sequence[PackedSample],
    alike: Pairs,
    manifest: Manifest,
    options: PackOptions,
) -> list[str]:
    """The part of each new sample: that of its patient or of what it looks like, else by a draw."""
    if set(manifest.parts) == {"test"}:
        return ["test"] * len(found.samples)
    samples = [*(each.sample for each in before), *found.samples]
    groups = split.groups_of(samples, alike).tolist()
    of_patient, of_group = dict[str, str](), dict[int, str]()
    for group, each in zip(groups, before, strict=False):
        of_patient.setdefault(each.sample.patient_id, each.part)
        of_group.setdefault(group, each.part)
    parts = list[str | None]()
    for sample, group in zip(found.samples, groups[len(before) :], strict=True):
        known = of_patient.get(sample.patient_id) or of_group.get(group)
        parts.append(_told(sample, known, manifest))
    first = dict[int, str]()  # the first name of each group, which its part is drawn by
    for sample, group in zip(found.samples, groups[len(before) :], strict=True):
        first[group] = min(sample.sample_id, first.get(group, sample.sample_id))
    return [
        part or split.drawn(first[group], _shares(sample, manifest), options.seed)
        for sample, group, part in zip(found.samples, groups[len(before) :], parts, strict=True)
    ]


def _shares(sample: Sample, manifest: Manifest) -> dict[str, float]:
    """The parts that a new sample may go to, as a source without parts would be cut."""
    test = split.TEST if "test" in manifest.parts and sample.split is None else 0.0
    if manifest.folds:
        return {"test": test, **dict.fromkeys(manifest.folds, (1 - test) / len(manifest.folds))}
    val = split.VAL if "val" in manifest.parts else 0.0
    return {"test": test, "val": val, "train": 1 - test - val}


def _told(sample: Sample, known: str | None, manifest: Manifest) -> str | None:
    """The part of a new sample that no cut decides, `known` being that of its group.

    What was cut from a source's training films stays as it was cut.
    """
    if sample.split in (None, "test"):
        return sample.split or known
    if known not in (None, "test"):
        return known
    return None if manifest.folds else sample.split

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
from rayograph.pack.packing import finish, inputs_of, remove_stale
from rayograph.pack.pseudonyms import Pseudonyms
from rayograph.pack.samples import Sample
from rayograph.pack.scan import scan
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
    to its part; the others are cut as a source of their own would be. Raises `UserError` where what
    is known was labelled or written anew since, or was packed by another recipe.
    """
    dest, options = storage.absolute(dest), source.options
    old = Dataset.open(dest)
    source = _fitting(source, old, options)
    salt = pseudonyms.chosen(source, options)
    before = known.samples(old)
    _check_salt(old, before, salt)
    fresh = _fresh(source, old, before, salt)
    if not fresh.items:
        note("nothing is new")
        return old.manifest
    with Looks() as looks:
        before = known.with_looks(old, before, looks)
        seen = scan(fresh, old.inputs, dest, salt, mapper, looks)
        found = identified(fresh, seen, options, salt)
        checks.rejected(found, options, len(before))
        found = _apart(fitting.of_dataset(found, old))
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
        whole = Identified(found.source, samples, found.rejected)
        manifest = describe.manifest(dest, whole, old.inputs, every, written, alike, options)
        manifest = manifest.model_copy(update={"salted": salt and salt.check})
        finish(dest, whole, every, alike, looks, manifest)
    remove_stale(dest, manifest)
    return manifest


def _apart(found: Identified) -> Identified:
    """Without the count of rows that have no film: those of films packed before are among them."""
    if found.source.awaiting is None:
        return found
    kept = tuple(each for each in found.source.findings if each.kind != "rows_without_films")
    return found._replace(source=replace(found.source, findings=kept))


def _shards(old: Dataset) -> list[Shard]:
    return [shard for part in old.manifest.parts.values() for shard in part.shards]


def _fitting(source: Source, old: Dataset, options: PackOptions) -> Source:
    """The source in the classes of a dataset; `UserError` where it does not fit."""
    manifest = old.manifest
    if source.task != manifest.task:
        raise UserError(f"{old.uri}: its task is {manifest.task}, not pack.task={source.task}")
    if source.awaiting is None:
        fitting.check_known(source.uri, source.classes, old)
    ours = source.recipe.model_dump() | {"inputs": str(inputs_of(source.recipe, options))}
    theirs = manifest.recipe.model_dump() | {"inputs": str(old.inputs)}
    other = [name for name in theirs if ours.get(name) != theirs[name]]
    if other:
        raise UserError(
            f"{old.uri}: was packed with another {other[0]} ({one_line(theirs[other[0]])}, not "
            f"{one_line(ours.get(other[0]))}); give the same options, or pack again"
        )
    if source.awaiting is not None:  # whose films' classes are known when headers are read
        return source
    items = tuple(fitting.in_classes(source.items, source, manifest.classes))
    return replace(source, classes=manifest.classes, items=items)


def _check_salt(old: Dataset, before: Sequence[PackedSample], salt: Pseudonyms | None) -> None:
    """Raise `UserError` where patients would have other names than before, and new parts."""
    own, packed = salt and salt.check, old.manifest.salted
    if own != packed and any(each.sample.metadata.get("format") == "DICOM" for each in before):
        raise UserError(
            f"{old.uri}: was packed with another {pseudonyms.SALT} or pack.identifiers, by which "
            "its patients have their names; set the same, or pack again with --overwrite"
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

    Only those are read that were written since.
    """
    packed = storage.modified(storage.join(old.uri, dataset.MANIFEST))

    def changed(pair: tuple[SourceItem, Sample]) -> bool:
        item, sample = pair
        if item.data is None and storage.modified(item.uri) < packed:
            return False
        return hashlib.sha256(item.read()).hexdigest() != sample.sha256

    with ThreadPoolExecutor(READERS) as pool:
        for (_, sample), other in zip(again, pool.map(changed, again), strict=True):
            if other:
                raise UserError(
                    f"{old.uri}: {one_line(sample.sample_id)} is another film now; --append adds "
                    "films and changes none: pack again with --overwrite"
                )


def _parts(
    found: Identified,
    before: Sequence[PackedSample],
    alike: Pairs,
    manifest: Manifest,
    options: PackOptions,
) -> list[str]:
    """The part of each new sample: that of its patient or of what it looks like, else by a cut."""
    if set(manifest.parts) == {"test"}:
        return ["test"] * len(found.samples)
    samples = [*(each.sample for each in before), *found.samples]
    groups = split.groups_of(samples, alike).tolist()
    part_of = dict[int, str]()
    for group, each in zip(groups, before, strict=False):
        part_of.setdefault(group, each.part)
    parts = [
        sample.split if sample.split in manifest.parts else part_of.get(group)
        for sample, group in zip(found.samples, groups[len(before) :], strict=True)
    ]
    free = [sample for sample, part in zip(found.samples, parts, strict=True) if part is None]
    names = {sample.sample_id for sample in free}
    pairs = [(one, other) for one, other in alike if one in names and other in names]
    cut = options.model_copy(update={"folds": len(manifest.folds) or None})
    dealt = iter(split.assign(found.source, free, pairs, cut) if free else ())
    into = [next(dealt) if part is None else part for part in parts]
    return [part if part in manifest.parts else "train" for part in into]

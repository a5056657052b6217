"""Originals to shards: list, read, split by patient, write every shard once.

Each step over the originals goes through a `Mapper`: Ray's on a cluster, one by one in a test.
`dataset.json` is written last; without it nothing was packed.
"""

import json
from collections.abc import Callable, Sequence

from rayograph import storage
from rayograph.data import dataset
from rayograph.data.manifest import Manifest
from rayograph.pack import checks, describe, documents, fitting, lookalikes, plan, pseudonyms, split
from rayograph.pack.describe import PackedSample
from rayograph.pack.identify import Identified, identified
from rayograph.pack.looks import Looks
from rayograph.pack.mapper import Mapper
from rayograph.pack.scan import FOLDER, scan
from rayograph.pack.shard import write_shard
from rayograph.pack.sources import Source
from rayograph.pack.split import Pairs


def pack(
    source: Source,
    dest: str,
    mapper: Mapper,
    overwrite: bool = False,
    note: Callable[[str], object] = lambda _: None,
) -> Manifest:
    """Pack a source into `dest` and return its manifest; what is worth a word goes to `note`.

    A pack that was interrupted goes on: what it has read is not read again. Raises `UserError`
    where `dest` holds a dataset already, a class never occurs in training (of a source that is to
    be trained on), or more originals are of no use than `pack.max_rejected`.
    """
    dest = storage.absolute(dest)
    checks.vacant(dest, overwrite)
    options = source.options
    inputs = plan.inputs_of(source.recipe, options)
    salt = pseudonyms.chosen(source, options)
    with Looks() as looks:
        seen = scan(source, inputs, dest, salt, mapper, looks)
        if seen.read < len(source.items):
            note(f"{len(source.items) - seen.read} were read by a pack that was interrupted")
        found = identified(source, seen, options, salt)
        checks.rejected(found, len(source.items), options)
        checks.left(found)
        found = fitting.of_films(found, options)
        alike = looks.alike(found.samples)
        parts = split.assign(found.source, found.samples, alike, options)
        checks.folds(parts, options)
        pairs = list(zip(found.samples, parts, strict=True))
        if options.split == "source":
            checks.labels(found, pairs)
        training = sum(part not in ("val", "test") for part in parts) or len(parts)
        batch_rows = plan.rows_per_batch(training, inputs.expected_bytes)
        tasks = list(plan.shards(dest, pairs, seen, inputs, options, batch_rows, {}))
        storage.delete([storage.join(dest, dataset.MANIFEST)])  # until the new one, none is valid
        results = list(mapper("packing", write_shard, tasks))
        packed = describe.stored(found.samples, tasks)
        written = describe.by_part(tasks, results)
        manifest = describe.manifest(dest, found, inputs, packed, written, alike, options)
        manifest = manifest.model_copy(update={"salted": seen.salted(salt)})
        finish(dest, found, packed, alike, looks, manifest)
    remove_stale(dest, manifest)
    return manifest


def finish(
    dest: str,
    found: Identified,
    packed: Sequence[PackedSample],
    alike: Pairs,
    looks: Looks,
    manifest: Manifest,
) -> None:
    """Write what lies beside the shards, the manifest last: it is what makes the rest valid."""
    documents_of = {
        dataset.INDEX: documents.index(packed, manifest),
        dataset.REJECTED: documents.rejections(found.rejected),
        **_pictures(packed, alike, looks),
        dataset.MANIFEST: json.dumps(manifest.model_dump(mode="json"), indent=1).encode(),
    }
    for name, data in documents_of.items():
        storage.write(storage.join(dest, name), data)


def _pictures(packed: Sequence[PackedSample], alike: Pairs, looks: Looks) -> dict[str, bytes]:
    """What packed films look like, and beside each other those of two parts that look the same."""
    places = [each.sample.look for each in packed if each.sample.look is not None]
    if not places:
        return {}
    sheet = documents.contact_sheet(looks.thumbs(places[: documents.SHEET_FILMS]))
    found = {dataset.CONTACT_SHEET: sheet}
    crossing = describe.pairs_across(packed, alike)[: lookalikes.PAIRS]
    if crossing:
        named = [(looks.named(a.sample), looks.named(b.sample)) for a, b in crossing]
        found[dataset.LOOKALIKES] = lookalikes.pairs_picture(named)
    return found


def remove_stale(dest: str, manifest: Manifest) -> None:
    """Delete what this pack or an interrupted one left here, and shards of an earlier one."""
    current = {shard.path for part in manifest.parts.values() for shard in part.shards}
    for entry in list(storage.listing(dest)):
        name = entry.uri.removeprefix(storage.join(dest, ""))
        stale = name.endswith(".arrows") and name not in current and dataset.OWN.fullmatch(name)
        if stale or name.startswith(f"{FOLDER}/"):
            storage.delete([entry.uri])

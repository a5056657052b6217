"""Who each sample is: what the source says of it, and what its own header says."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rayograph.config import PackOptions
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.decode.errors import NO_PICTURE
from rayograph.pack.pseudonyms import Pseudonyms, nameless
from rayograph.pack.samples import Rejection, Sample
from rayograph.pack.scan import Scan
from rayograph.pack.sources import Source, SourceItem
from rayograph.pack.sources.base import Awaiting, patients_unknown
from rayograph.pack.views import wanted

NAMED = 20  # films that a finding names; its message counts them all
FRONTAL, CHEST = ("", "PA", "AP", "FRONTAL"), ("CHEST", "THORAX", "LUNG")


class Identified(NamedTuple):
    """The usable samples of a source, its originals of no use, and what was odd."""

    source: Source
    samples: list[Sample]
    rejected: list[Rejection]


def identified(
    source: Source,
    scan: Scan,
    options: PackOptions,
    pseudonyms: Pseudonyms | None,
    salted: bool = False,
) -> Identified:
    """Join what a source lists and what was seen of it.

    Where any film has a header, or `salted` other films of the dataset had one, patients of all
    films are pseudonyms: some films of a patient may be pictures.
    """
    rejected, samples, findings = list[Rejection](), list[Sample](), list[Finding]()
    named = _rows_by_key(source.awaiting, pseudonyms)
    hidden = scan.private
    private = pseudonyms if hidden or salted else None
    unmatched, anonymous, used = list[str](), list[str](), set[str]()
    for i, (item, seen) in enumerate(zip(source.items, scan.rows(), strict=True)):
        if not seen["origin"]:  # the same texts once: of 10^5 films they are dear
            seen |= {"sample_id": item.sample_id, "source": item.uri}
        if seen["problem"] is not None:
            name, place, reason = seen["sample_id"], seen["source"], seen["problem"]
            if private is not None:
                texts = (private.guessed(text, hidden) for text in (name, place, reason))
                name, place, reason = texts
            unnamed = bool(named is not None and seen["private"] and seen["key"] not in named)
            loss = not (unnamed or seen["problem"].startswith(NO_PICTURE))
            rejected.append(Rejection(name, place, reason, item.labels, loss))
            used.add(seen["key"])
            continue
        said = item if named is None else named.get(seen["key"])
        if said is None:
            unmatched.append(seen["sample_id"])
            continue
        if said is not item:  # what the film's own path says counts where the row says nothing
            patient, split = said.patient_id or item.patient_id, said.split or item.split
            said = replace(said, patient_id=patient, split=split)
        if private is not None:
            said = _guarded(said, private, set(seen["private"] or ()))
        used.add(seen["key"])
        patient = said.patient_id or seen["patient"]
        if patient is None:
            anonymous.append(seen["sample_id"])
        samples.append(_sample(i, said, seen, patient, scan.looks[i]))
    if private is not None:
        source = nameless(source, private)
    if source.awaiting:
        without = len((named or {}).keys() - used)
        findings += _unmatched(source.awaiting.keyword, unmatched, without)
    if anonymous:
        message = (
            f"{len(anonymous)} films name no patient, so each counts as its own; "
            "pack.patient_pattern can read patients off the paths"
        )
        findings += patients_unknown(message)
    samples, odd = _of_views(samples, options)
    source = replace(source, findings=(*source.findings, *findings, *odd))
    _check_names(source, samples)
    return Identified(source, samples, rejected)


def _sample(
    row: int, said: SourceItem, seen: Mapping[str, Any], patient: str | None, look: int | None
) -> Sample:
    return Sample(
        sample_id=seen["sample_id"],
        source=seen["source"],
        origin=seen["origin"],
        sha256=seen["sha256"],
        patient_id=patient or seen["sample_id"],
        labels=said.labels,
        split=said.split,
        said=said.metadata,
        header=sys.intern(seen["metadata"] or "{}"),  # of many films the same
        look=look,
        row=row,
    )


def _guarded(said: SourceItem, pseudonyms: Pseudonyms, private: set[str]) -> SourceItem:
    """What a table says of a film, where films have headers: its patient, and what its own header
    says, hidden.

    The table's ids are those of the headers, or others as good; of a patient some films may be
    pictures, without a header.
    """
    patient = said.patient_id and pseudonyms.of(said.patient_id)
    metadata = {n: pseudonyms.guarded(value, private) for n, value in said.metadata.items()}
    return replace(said, patient_id=patient, metadata=metadata)


def _rows_by_key(
    awaiting: Awaiting | None, pseudonyms: Pseudonyms | None
) -> dict[str, SourceItem] | None:
    """A table's rows by the pseudonyms of what they name films by; None where none does."""
    if awaiting is None:
        return None
    if pseudonyms is None:  # no film had a header, or its task would have asked for a salt
        return {}
    return {pseudonyms.of(key): item for key, item in awaiting.rows.items()}


def _unmatched(keyword: str, films: Sequence[str], rows: int) -> Iterator[Finding]:
    """The findings that films have no row, and rows no film, by what headers say."""
    if films:
        message = f"{len(films)} films have no row, by their {keyword}, and are left out"
        yield Finding(kind="films_without_rows", message=message, films=tuple(films[:NAMED]))
    if rows:
        message = f"{rows} rows of the table have no film, by their {keyword}"
        yield Finding(kind="rows_without_films", message=message)


def _of_views(samples: list[Sample], options: PackOptions) -> tuple[list[Sample], list[Finding]]:
    """Those of the views that are asked for; what views and body parts there are beside chests."""
    findings = []
    left = [s for s in samples if not wanted(_text(s, "view"), options.views)]
    if left:
        told = _counts(Counter(_text(s, "view") for s in left))
        message = f"{len(left)} films of other views than pack.views are left out: {told}"
        findings.append(Finding(kind="views_left_out", message=message))
        names = {s.sample_id for s in left}
        samples = [s for s in samples if s.sample_id not in names]
    other = [s for s in samples if _text(s, "view") not in FRONTAL]
    if other:
        told = _counts(Counter(_text(s, "view") for s in other))
        message = f"{len(other)} films are no frontal views: {told}; pack.views=[PA, AP] drops them"
        films = tuple(s.sample_id for s in other[:NAMED])
        findings.append(Finding(kind="other_views", message=message, films=films))
    strange = [s for s in samples if (part := _text(s, "body_part")) and not _is_chest(part)]
    if strange:
        told = _counts(Counter(_text(s, "body_part") for s in strange))
        message = f"{len(strange)} films are of another body part: {told}"
        films = tuple(s.sample_id for s in strange[:NAMED])
        findings.append(Finding(kind="other_body_parts", message=message, films=films))
    return samples, findings


def _text(sample: Sample, name: str) -> str:
    return str(sample.metadata.get(name) or "").upper()


def _is_chest(part: str) -> bool:
    return any(word in part for word in CHEST)


def _counts(found: Counter[str]) -> str:
    return one_line(", ".join(f"{name} {count}" for name, count in found.most_common(5)))


def _check_names(source: Source, samples: Sequence[Sample]) -> None:
    for name, count in Counter(sample.sample_id for sample in samples).most_common(1):
        if count > 1:
            raise UserError(f"{source.uri}: {count} films have the name {one_line(name)}")

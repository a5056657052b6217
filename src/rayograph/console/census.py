"""What a dataset's index says of its samples, a line a subject: `inspect`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rayograph.data.census import SIGNS
from rayograph.errors import one_line

if TYPE_CHECKING:
    from rayograph.data.inspection import Summary

SHOWN, NAMED = 8, 5  # values of a column, names
TITLES = {"view": "views", "sex": "sexes", "modality": "modalities", "manufacturer": "made by"}
BARS, LEVELS = "▁▂▃▄▅▆▇█", 32  # heights, and bars of the histogram


def lines(found: "Summary") -> Iterator[str]:
    """Each subject that the dataset knows of."""
    census, noun = found.census, found.manifest.inputs.noun
    for name, column in census.columns.items():
        yield f"{TITLES.get(name, f'{name}s')}: {_counts(column.counts, column.unknown)}"
    if ages := census.ages:
        span = f"median {ages.median:g}, {ages.youngest:g} to {ages.oldest:g} years"
        yield f"ages: {span}, of {ages.known:,} {noun}"
    if sizes := census.sizes:
        yield f"sizes as they came: {_counts(sizes.counts, sizes.unknown)}"
    for name, sign in census.signs.items():
        yield f"{sign.samples:,} of {sign.known:,} {noun} {SIGNS[name]}{_names(sign.named)}"
    copies = census.copies
    if copies.groups:
        across = f"{copies.across:,} groups in more than one part"
        told = f"{copies.groups:,} groups of identical files, {copies.samples:,} {noun}, {across}"
        yield f"copies: {told}{_names(copies.named)}"
    else:
        yield "copies: no two files are identical"
    if found.missing:
        gaps = sorted(found.missing.items(), key=lambda item: -item[1])
        some = [f"{one_line(name)} {share:.1%}" for name, share in gaps if share]
        yield f"missing values: {_listed(some) if some else 'none'}"
    if found.look:
        yield f"gray levels of {found.look.films:,} films, 0 to 255: {_bars(found.look.levels)}"
    for reason, count in found.rejects.items():
        yield f"rejected {count:,}: {one_line(reason)}"


def wide(half: float | None) -> str:
    """How wide an interval will be to each side."""
    return "undefined" if half is None else f"± {half:.3f}"


def _counts(counts: Mapping[str, int], unknown: int) -> str:
    told = [f"{one_line(value)} {count:,}" for value, count in counts.items()]
    return ", ".join(([_listed(told)] if told else []) + [f"not known {unknown:,}"] * (unknown > 0))


def _listed(told: Sequence[str]) -> str:
    more = f", and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return ", ".join(told[:SHOWN]) + more


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = ", …" if len(names) > NAMED else ""
    return f": {', '.join(map(one_line, names[:NAMED]))}{more}"


def _bars(levels: Sequence[int]) -> str:
    """A histogram in a line; its highest bar is the full one."""
    width = len(levels) // LEVELS
    sums = [sum(levels[i : i + width]) for i in range(0, len(levels), width)]
    top = max(sums)
    return "".join(BARS[min(len(BARS) - 1, count * len(BARS) // top)] for count in sums)

"""Spellings that are one class, or label, as `pack.classes` says; all others are left out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rayograph.config.nearest import nearest
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.labels import plain

NAMED = 20  # classes that a finding names


def by_spelling(
    uri: str, classes: Mapping[str, Sequence[str]], known: Iterable[str]
) -> dict[str, str]:
    """The class of each spelling, as `labels.plain` has it.

    Raises `UserError` for a spelling that is of two classes, or none of the `known` ones.
    """
    if len({plain(name) for name in classes}) < len(classes):
        names = one_line(", ".join(classes))
        raise UserError(f"pack.classes: two classes differ in spelling only: {names}")
    there = {plain(word): word for word in sorted(known)}
    found: dict[str, str] = {}
    for name, spellings in classes.items():
        if not spellings:
            raise UserError(f"pack.classes: {one_line(name)} has no spelling; name one or more")
        for word in spellings:
            key = plain(word)
            if found.setdefault(key, name) != name:
                raise UserError(
                    f"pack.classes: {one_line(word)} is {one_line(found[key])} and "
                    f"{one_line(name)}; a spelling is of one class"
                )
            if key not in there:
                every = list(there.values())
                hint = nearest(word, every) or f"; there are {one_line(', '.join(every))}"
                raise UserError(f"{uri}: pack.classes: nothing is labelled {one_line(word)}{hint}")
    return found


def renamed(
    uri: str, texts: Sequence[str], classes: Mapping[str, Sequence[str]]
) -> tuple[list[str | None], tuple[Finding, ...]]:
    """The class of each text, None where it is none of these; and what is left out."""
    if not classes:
        return list(texts), ()
    found = by_spelling(uri, classes, set(texts))
    given = {text: found.get(plain(text)) for text in set(texts)}
    left = Counter(text for text in texts if given[text] is None)
    return [given[text] for text in texts], tuple(left_out("classes_left_out", "samples", left))


def left_out(kind: str, what: str, counts: Mapping[str, int]) -> Iterator[Finding]:
    """The finding that something is not in `pack.classes`, with how often it occurs."""
    if counts:
        told = ", ".join(f"{n or 'nothing'} {c}" for n, c in Counter(counts).most_common(NAMED))
        total = sum(counts.values())
        message = f"{total} {what} that are none of pack.classes are left out: {told}"
        yield Finding(kind=kind, message=one_line(message))

"""A split that a list of file names fixes, such as NIH's `test_list.txt`."""

from dataclasses import replace

from rayograph import storage
from rayograph.data.manifest import Finding
from rayograph.errors import UserError, one_line
from rayograph.pack.sources.base import Source
from rayograph.pack.sources.naming import Naming

NAMED = 20  # lines that a finding names


def tested(source: Source, place: str) -> Source:
    """The source with the films of a list for testing, and all others for training.

    Raises `UserError` where a line means two films, or none of them means one.
    """
    try:
        lines = storage.read(place).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"pack.test_list={place}: not text in UTF-8") from None
    lines = [line.strip() for line in lines if line.strip()]
    naming = Naming(item.sample_id for item in source.items)
    chosen, without = set[str](), list[str]()
    for line in lines:
        own = naming.find(line)
        if len(own) > 1:
            two = one_line(" and ".join(own[:2]))
            raise UserError(f"pack.test_list: {one_line(line)} is two films: {two}")
        chosen.update(own)
        without += [] if own else [line]
    if not chosen:
        first = one_line(lines[0]) if lines else "nothing"
        raise UserError(
            f"pack.test_list={place}: names none of the films; it says {first}, a film is "
            f"{one_line(source.items[0].sample_id)}"
        )
    items = tuple(
        replace(item, split="test" if item.sample_id in chosen else "train")
        for item in source.items
    )
    findings = source.findings
    if without:
        message = f"{len(without)} lines of pack.test_list name no film, the first is {without[0]}"
        told = tuple(without[:NAMED])
        findings += (Finding(kind="test_list_unmatched", message=one_line(message), films=told),)
    return replace(source, items=items, findings=findings)

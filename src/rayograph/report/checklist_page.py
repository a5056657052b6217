"""The reporting checklists in Markdown, to be copied into a manuscript's supplement."""

from collections.abc import Iterator

from rayograph.report.checklists import Checklist, checklists
from rayograph.report.modelcard import plain, table
from rayograph.report.view import RunReport


def page(report: RunReport) -> str:
    """`reporting.md`, beside `report.html`."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    yield f"# {plain(report.name)}: reporting checklists"
    yield "\nFilled from what the run's folder knows; read it, correct it, and add what is open."
    for each in checklists(report):
        yield f"\n## {each.name}: {each.counted}\n"
        yield f"{plain(each.title)}. {plain(each.source)}. {plain(each.numbering)}\n"
        yield from table(["", "asked", "known", "for the authors"], list(_rows(each)))


def _rows(found: Checklist) -> Iterator[list[str]]:
    for item in found.items:
        left = {"open": "all of it", "partly": item.still, "filled": ""}[item.state]
        yield [item.number, item.ask, item.answer, left]

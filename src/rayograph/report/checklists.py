"""Reporting guidelines, each item answered by what a run's folder knows, or left to the authors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from rayograph.report import facts
from rayograph.report.view import RunReport

STATES = ("filled", "partly", "open")


@dataclass(frozen=True)
class Item:
    """What is asked, what is known of it, and what the authors `still` have to add."""

    number: str
    ask: str
    answer: str
    still: str

    @property
    def state(self) -> str:
        """`filled`, `partly` where the authors must add something, or `open`."""
        if not self.answer:
            return "open"
        return "partly" if self.still else "filled"


@dataclass(frozen=True)
class Checklist:
    """A guideline with its items; `numbering` says what its numbers are, `source` where it is."""

    name: str
    title: str
    source: str
    numbering: str
    items: tuple[Item, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """Items by state."""
        states = [item.state for item in self.items]
        return {state: states.count(state) for state in STATES}

    @property
    def counted(self) -> str:
        """`19 of 44 filled, 10 partly; 15 for the authors`."""
        filled, partly, left = self.counts.values()
        return f"{filled} of {len(self.items)} filled, {partly} partly; {left} for the authors"


def checklists(report: RunReport) -> list[Checklist]:
    """All guidelines, filled from what is known of a run."""
    known = facts.known(report)
    return [
        Checklist(
            each["name"], each["title"], each["source"], each["numbering"],
            tuple(_item(report, known, item) for item in each["items"]),
        )
        for each in guidelines()
    ]  # fmt: skip


@cache
def guidelines() -> list[dict[str, Any]]:
    """The guidelines as `checklists.yaml` has them."""
    text = files("rayograph.report").joinpath("checklists.yaml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


def _item(report: RunReport, known: Mapping[str, str], item: Mapping[str, Any]) -> Item:
    answer = known.get(item.get("fact", ""), "")
    if item.get("finding") in report.findings:
        answer = "See its section of the report."
    return Item(str(item.get("id", "")), item["ask"], answer, item.get("still", ""))

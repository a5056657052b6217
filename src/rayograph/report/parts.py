"""The sections of a report that other commands than `evaluate` fill: one row of `PARTS` each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from rayograph.report import audit, external, gallery, looks, suspects
from rayograph.report.html import template

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A section: the name of its finding in a run's `evaluation/`, and how it is shown.

    `template` is given what `view` makes of the document, as `part`; `doubts` are sentences on what
    to distrust, which stand at the top of the page.
    """

    name: str
    template: str
    view: Callable[[Document], Mapping[str, Any]]
    doubts: Callable[[Document], Sequence[str]] = lambda _document: ()


PARTS: tuple[Part, ...] = (
    Part("audit", "audit.html.j2", audit.view, audit.doubts),
    Part("external", "external.html.j2", external.view, external.doubts),
    Part("gallery", "gallery.html.j2", gallery.view, gallery.doubts),
    Part("suspects", "suspects.html.j2", suspects.view),
    Part(looks.NAME, "looks.html.j2", looks.view),
)


def sections(findings: Mapping[str, Document]) -> Iterator[Markup]:
    """The markup of each part that a run has a finding of, in the order of the page."""
    for part in PARTS:
        if part.name in findings:
            shown = template(part.template).render(part=part.view(findings[part.name]))
            yield Markup(shown)


def doubts(findings: Mapping[str, Document]) -> Iterator[str]:
    """What to distrust, by all parts."""
    for part in PARTS:
        if part.name in findings:
            yield from part.doubts(findings[part.name])

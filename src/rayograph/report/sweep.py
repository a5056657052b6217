"""A sweep's page as one self-contained HTML document: no script, no request, readable on paper."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from rayograph.report import sweep_words as words
from rayograph.report.sweep_curves import curves
from rayograph.report.sweep_parallel import parallel
from rayograph.report.sweep_view import SweepReport, TrialView, compared, ranked

__all__ = ["SweepReport", "TrialView", "render_sweep"]


def render_sweep(report: SweepReport) -> str:
    """The sweep as an HTML document; the same report gives the same bytes.

    What is missing (a trial, a value, a winner, an importance, a saving) is said.
    """
    best = report.won
    return _template().render(
        report=report,
        sentence=words.sentence(report),
        facts=words.facts(report),
        metric=words.metric(report),
        leading=words.leading(report),
        best=best,
        tiles=words.tiles(report, best) if best else [],
        options=[(key, words.setting(value)) for key, value in best.params.items()] if best else [],
        compared=len(compared(report)),
        yet=words.yet(report),
        curves=_markup(curves(report)),
        curves_caption=words.curves_caption(report),
        parallel=_markup(parallel(report)),
        parallel_caption=words.parallel_caption(report),
        importance=sorted(report.importance.items(), key=lambda item: -item[1]),
        cost=words.cost(report),
        trials=[words.trial_row(report, trial) for trial in ranked(report)],
        handovers=words.handovers(report),
        config=_config(report.config),
    )


@cache
def _template() -> Template:
    room = Environment(
        loader=PackageLoader("rayograph.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return room.get_template("sweep.html.j2")


def _markup(svg: str | None) -> Markup | None:
    return None if svg is None else Markup(svg)  # its text was escaped when it was written


def _config(config: Mapping[str, Any]) -> str:
    """The config as YAML; what YAML has no word for is written as text."""
    plain = json.loads(json.dumps(dict(config), default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True) if plain else ""

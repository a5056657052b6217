"""A sweep's page as one self-contained HTML document: no script, no request, readable on paper."""

from rayograph.report import sweep_words as words
from rayograph.report.html import config_text, markup, template
from rayograph.report.sweep_curves import curves
from rayograph.report.sweep_parallel import parallel
from rayograph.report.sweep_view import SweepReport, TrialView, compared, ranked

__all__ = ["SweepReport", "TrialView", "render_sweep"]


def render_sweep(report: SweepReport) -> str:
    """The sweep as an HTML document; the same report gives the same bytes.

    What is missing (a trial, a value, a winner, an importance, a saving) is said.
    """
    best = report.won
    return template("sweep.html.j2").render(
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
        curves=markup(curves(report)),
        curves_caption=words.curves_caption(report),
        parallel=markup(parallel(report)),
        parallel_caption=words.parallel_caption(report),
        importance=sorted(report.importance.items(), key=lambda item: -item[1]),
        cost=words.cost(report),
        trials=[words.trial_row(report, trial) for trial in ranked(report)],
        handovers=words.handovers(report),
        folds=words.folds(report),
        config=config_text(report.config),
    )

"""The model card in Markdown: what a model is for, what it was trained on, how well it does."""

from collections.abc import Iterator, Sequence

from rayograph import task
from rayograph.data.card import DataCard
from rayograph.report import datacard, deciding, distrust, facts, words
from rayograph.report.verdict import verdict
from rayograph.report.view import EvaluationView, RunReport, estimate

NOT_FOR = (
    "Research only. Not for clinical use: nobody has tested it on your patients, your machines and "
    "your prevalence."
)


def card(report: RunReport) -> str:
    """`MODEL_CARD.md`, beside `report.html`; what is not known is said.

    Its parts are those of Mitchell et al., Model cards for model reporting (FAT* 2019).
    """
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    known = facts.known(report)
    yield f"# {plain(report.name)}: model card"
    yield f"\n{plain(verdict(report).sentence)}"
    yield "\n## The model\n"
    for name in ("technology", "model", "initial", "preprocessing", "training", "selection"):
        yield f"- {plain(known.get(name, 'Not known: no checkpoint is kept.'))}"
    yield "\n## Intended use\n"
    yield NOT_FOR
    yield "\nWho should use it, for whom and how is for its authors to write: no run folder knows."
    yield "\n## Training data\n"
    yield from _data(report, known)
    yield "\n## How well it does"
    yield from _judged(report)
    yield "\n## Limits\n"
    yield from _limits(report)
    yield "\n## Made with\n"
    yield plain(known.get("software", "Versions were not kept."))


def _data(report: RunReport, known: dict[str, str]) -> Iterator[str]:
    yield plain(known.get("source", "Not known."))
    data = report.data
    if isinstance(data, DataCard):
        yield ""
        head = [f"of the {data.noun}", *data.splits]
        yield from table(head, list(datacard.rows(data)))
        yield ""
        yield from (f"- {plain(said)}" for said in datacard.told(data))
    elif data is not None:
        yield f"\nIt could not be read when this was written: {plain(data.reason)}."


def _judged(report: RunReport) -> Iterator[str]:
    if not report.evaluations:
        yield "\nNot evaluated: `rayograph evaluate` judges it on the test films."
    for view in report.evaluations:
        yield f"\n### {view.split}: {view.films:,} {view.noun} of {view.patients:,} patients\n"
        rows = [[row.name, row.value, row.interval, row.method] for row in words.metric_rows(view)]
        yield from table(["metric", "value", "95 % interval", "by"], rows)
        yield from _labels(view)
        yield from _points(view)
        yield from _parts(view)


def _labels(view: EvaluationView) -> Iterator[str]:
    if not view.by_label:
        return
    given = view.operating_points or (None,) * len(view.classes)
    rows = [
        [
            name,
            *(words.with_interval(view.by_label[name], each) for each in _OF_LABELS),
            "0.5, by default" if point is None else f"{point:.3f}",
        ]
        for name, point in zip(view.classes, given, strict=True)
    ]
    heads = [task.METRICS[each].heading for each in _OF_LABELS]
    yield "\nEach label, and the probability from which it counts (chosen on validation):\n"
    yield from table(["label", *heads, "counts from"], rows)


_OF_LABELS = ("auroc", "average_precision", "sensitivity", "specificity")


def _points(view: EvaluationView) -> Iterator[str]:
    found = deciding.points(view)
    if found:
        yield "\nOperating points:\n"
        yield from table(found["head"], found["rows"])


def _parts(view: EvaluationView) -> Iterator[str]:
    for column, found in view.subgroups.items():
        names = list(next(iter(found["parts"].values()))["metrics"])
        rows = [
            [group, f"{part['films']:,}", *(words.with_interval(part["metrics"], n) for n in names)]
            for group, part in found["parts"].items()
        ]
        yield f"\nBy {plain(column)}:\n"
        heads = [task.METRICS[name].heading for name in names]
        yield from table([column, view.noun, *heads], rows)


def _limits(report: RunReport) -> Iterator[str]:
    found = distrust.distrust(report)
    yield from (f"- {plain(said)}" for said in found.doubts)
    unknown = [*found.unknown, *distrust.UNKNOWABLE]
    yield f"- Not known: {plain('; '.join(unknown))}."
    yield from (f"- {said}" for said in facts.unlike(report))
    if report.judged is not None and estimate(report.judged.metrics, "auroc").bounded:
        yield "- Intervals are of chance in the choice of patients alone."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(map(plain, head))} |"
    yield f"|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(map(plain, row))} |" for row in rows)


def plain(text: str) -> str:
    """Text that Markdown takes as text, on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split(" "))
    for letter in "\\`*_{}[]<>|#":
        line = line.replace(letter, f"\\{letter}")
    return line.replace("&", "&amp;")

"""How good the model is, in one sentence with its interval, or that nobody knows."""

from dataclasses import dataclass

from rayograph import task
from rayograph.report import words
from rayograph.report.view import EvaluationView, RunReport, estimate

GUESSING = 0.5  # the AUROC of a coin


@dataclass(frozen=True)
class Verdict:
    """The sentence in three parts, so that the figure in the middle can stand out."""

    before: str
    figure: str
    after: str

    @property
    def sentence(self) -> str:
        """The whole of it."""
        return f"{self.before}{self.figure}{self.after}"


def verdict(report: RunReport) -> Verdict:
    """Which figure, with what interval, on how many films of how many patients of which split."""
    view = report.judged
    if view is None:
        return Verdict("", "Not evaluated yet", ": how well this model does, nobody knows.")
    films = f"{view.films:,} {view.split} {words.counted(view.films, view.noun)}"
    patients = f"{view.patients:,} {words.counted(view.patients, 'patients')}"
    name = next((n for n in ("auroc", *view.of_task.headline) if _value(view, n)), None)
    if name is None:
        why = "nothing that measures the model is defined"
        return Verdict(f"Of {films} of {patients}, ", why, ".")
    found = estimate(view.metrics, name)
    figure = f"{_title(view, name)} of {words.written(name, found.value)}"
    bounded = (
        f"95{words.UNIT} interval {words.interval(name, found)}"
        if found.bounded
        else "without an interval"
    )
    before = f"On {films} of {patients}, the {_model(view)} {_does(view)} with "
    return Verdict(before, f"{_article(figure)} {figure}", f" ({bounded}){_guess(name, found)}.")


def _value(view: EvaluationView, name: str) -> bool:
    return estimate(view.metrics, name).value is not None


def _model(view: EvaluationView) -> str:
    return "model" if view.models == 1 else f"{view.models} models together"


def _does(view: EvaluationView) -> str:
    verb = "tells" if view.models == 1 else "tell"
    if view.by_label:
        return f"{verb} {len(view.classes)} {words.counted(len(view.classes), 'labels')}"
    if view.binary:
        return f"{verb} {view.classes[1]} from {view.classes[0]}"
    return f"{verb} {len(view.classes)} classes apart"


def _title(view: EvaluationView, name: str) -> str:
    mean = "" if view.binary or name == "accuracy" else "mean "
    return f"{mean}{task.METRICS[name].title}"


def _article(figure: str) -> str:
    return "an" if figure[0].lower() in "aeiou" else "a"


def _guess(name: str, found: task.Estimate) -> str:
    """What an AUROC near that of guessing means."""
    if name != "auroc" or found.low is None or found.high is None:
        return ""
    if found.high < GUESSING:
        return "; that is worse than guessing, so something is wrong"
    return "; that cannot be told from guessing" if found.low <= GUESSING else ""

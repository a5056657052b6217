"""What a sweep's page says: the opening sentences, the facts, the cost, a trial's options."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rayograph.report.sweep_view import SweepReport, TrialView, compared
from rayograph.report.words import NONE, UNIT, duration

_STATES = {  # in the order in which they are told: of one trial, of several
    "finished": ("finished", "finished"),
    "stopped": ("was stopped early", "were stopped early"),
    "running": ("is still running", "are still running"),
    "waiting": ("is waiting", "are waiting"),
    "failed": ("failed", "failed"),
    "diverged": ("diverged", "diverged"),
    "lost": ("was lost", "were lost"),
}
_SEARCHERS = {"grid": "over a grid", "random": "at random", "optuna": "as optuna proposed"}
_SCHEDULERS = {
    "fifo": "without early stopping",
    "asha": "with the weaker trials stopped early by ASHA",
    "pbt": "with the weaker trials taking over the weights of better ones (PBT)",
}
_KEYS_NAMED = 5  # in the opening sentence; of more, their number is said


def metric(report: SweepReport) -> str:
    """The selected metric's name: `validation AUROC`."""
    return report.column.title


def written(report: SweepReport, value: float | None) -> str:
    """A value of the selected metric."""
    return report.column.metric.written(value).replace("%", UNIT)


def setting(value: object) -> str:
    """An option's value as it is typed, numbers to four digits: `0.003`, `group`, `true`."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def settings(params: Mapping[str, Any]) -> str:
    """All of a trial's options in one line: `optim.lr=0.003 model.norm=group`."""
    return " ".join(f"{key}={setting(value)}" for key, value in params.items())


def many(count: int, word: str) -> str:
    """`1 trial`, `1,200 trials`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def sentence(report: SweepReport) -> str:
    """How many trials searched what, what became of them, and who won."""
    searched = f"{_options(report)} {_SEARCHERS[report.searcher]}, {_SCHEDULERS[report.scheduler]}"
    if not report.trials:
        return f"{leading(report)} To be searched: {searched}."
    trials = many(len(report.trials), "trial")
    return f"{trials} searched {searched}. {states(report)} {leading(report)}"


def _options(report: SweepReport) -> str:
    keys = list(report.scales)
    if not keys:
        return "no option"
    if len(keys) > _KEYS_NAMED:
        keys = [*keys[: _KEYS_NAMED - 1], f"{len(keys) - _KEYS_NAMED + 1} more options"]
    return listed(keys)


def states(report: SweepReport) -> str:
    """`5 finished, 9 were stopped early and 2 diverged.`"""
    counts = [sum(trial.state == state for trial in report.trials) for state in _STATES]
    words = zip(counts, _STATES.values(), strict=True)
    said = [f"{count:,} {one if count == 1 else more}" for count, (one, more) in words if count]
    return f"{listed(said)}."


def yet(report: SweepReport) -> str:
    """` yet` while there are trials to come, or none has been started."""
    still = any(trial.state in ("running", "waiting") for trial in report.trials)
    return " yet" if still or not report.trials else ""


def leading(report: SweepReport) -> str:
    """Who won with what value, or why nobody has."""
    best, found = report.won, compared(report)
    if not report.trials:
        return "No trial has been started yet."
    if best is not None:
        epoch = "" if best.best_epoch is None else f", in epoch {best.best_epoch} of {best.epochs}"
        value = written(report, best.value)
        return f"The winner is {best.name} with a {metric(report)} of {value}{epoch}."
    if all(trial.broken for trial in report.trials):
        return "Every trial broke off, so there is no winner."
    if found:
        value = written(report, found[0].value)
        return f"So far {found[0].name} leads with a {metric(report)} of {value}."
    return f"No trial has a {metric(report)}{yet(report)}."


def facts(report: SweepReport) -> dict[str, str]:
    """The sweep in numbers: trials, epochs, worker time."""
    if not report.trials:
        return {}
    epochs = sum(len(trial.history) for trial in report.trials)
    planned = sum(trial.epochs for trial in report.trials)
    return {
        "Trials with a value": f"{len(compared(report)):,} of {len(report.trials):,}",
        "Epochs run": f"{epochs:,} of {planned:,}",
        "Worker time": duration(report.spent),
    }


def tiles(report: SweepReport, best: TrialView) -> list[tuple[str, str, str]]:
    """The winner in numbers: name, value, note."""
    found = compared(report)
    rest = [trial for trial in found if trial is not best]
    after = f"next: {written(report, rest[0].value)}, {rest[0].name}" if rest else "the only value"
    name = metric(report)
    return [
        (name[0].upper() + name[1:], written(report, best.value), after),
        ("Best epoch", str(best.best_epoch or NONE), f"of {best.epochs}"),
        ("Worker-seconds", f"{best.worker_seconds:,.0f}", _of_one_worker(best.worker_seconds)),
        ("Trials compared", f"{len(found):,}", f"of {len(report.trials):,}"),
    ]


def curves_caption(report: SweepReport) -> str:
    """What the marks in the curves mean, those that there are."""
    marks = {
        "A dot at its end marks a trial that was stopped early.": _any(report, "stopped"),
        "A cross at its end marks a trial that broke off.": any(t.broken for t in report.trials),
        "A diamond marks an epoch after which a trial went on with the weights of another, the one"
        " that it is dotted to.": any(t.handovers for t in report.trials),
    }
    return " ".join(mark for mark, there in marks.items() if there)


def parallel_caption(report: SweepReport) -> str:
    """How the parallel coordinates are read."""
    said = [
        "A line is a trial: the stronger its colour, the better it ranks.",
        "On the last axis, higher up is better.",
    ]
    if "choice" in report.scales.values():
        said.append("Within one choice, lines are spread apart so that each can be seen.")
    if _any(report, "stopped"):
        said.append("A trial that was stopped early stands where it had come by then.")
    absent = len(report.trials) - len(compared(report))
    if absent:
        verb = "is" if absent == 1 else "are"
        said.append(f"{many(absent, 'trial')} without a value {verb} absent.")
    return " ".join(said)


def folds(report: SweepReport) -> dict[str, Any]:
    """Every set of options over the folds: a head, and a row for each with its mean first."""
    names = sorted({name for each in report.folds for name in each["folds"]}, key=int)
    return {
        "head": ["Options", "Mean", "Deviation", *(f"Fold {name}" for name in names)],
        "rows": [
            [
                settings(each["params"]) or "as the preset",
                *(written(report, each[key]) for key in ("mean", "deviation")),
                *(written(report, each["folds"].get(name)) for name in names),
            ]
            for each in report.folds
        ],
    }


def _any(report: SweepReport, state: str) -> bool:
    return any(trial.state == state for trial in report.trials)


def cost(report: SweepReport) -> str:
    """What was spent against running every trial to its end, and the share saved."""
    if not report.spent:
        return f"Nothing has been spent{yet(report)}."
    spent = f"The trials spent {report.spent:,.0f} worker-seconds ({duration(report.spent)})."
    if not _any(report, "stopped"):
        return f"{spent} No trial was stopped early, so nothing was saved."
    whole = f"{report.whole:,.0f} ({duration(report.whole)})"
    share = f"{100 * report.saved:.0f}{UNIT} of it was" if report.saved else "nothing was"
    return f"{spent} Without stopping any early it would have been about {whole}: {share} saved."


def _of_one_worker(seconds: float) -> str:
    return f"{duration(seconds)} of one worker"


def trial_row(report: SweepReport, trial: TrialView) -> dict[str, Any]:
    """A trial as a row of the table."""
    return {
        "name": trial.name,
        "settings": [
            setting(trial.params[key]) if key in trial.params else NONE for key in report.scales
        ],
        "numbers": [
            f"{len(trial.history)}/{trial.epochs}",
            written(report, trial.value),
            NONE if trial.best_epoch is None else str(trial.best_epoch),
            f"{trial.worker_seconds:,.0f}",
        ],
        "state": trial.state,
        "broken": trial.broken,
        "message": trial.message,
    }


def handovers(report: SweepReport) -> list[list[str]]:
    """Every handover of PBT by epoch: the trial, its epoch, whose weights, its new options."""
    taken = [(event["epoch"], t.name, event) for t in report.trials for event in t.handovers]
    return [
        [name, f"{epoch:g}", str(event["from"]), settings(event["params"])]
        for epoch, name, event in sorted(taken, key=lambda each: each[:2])
    ]

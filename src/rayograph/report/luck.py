"""What luck has to do with the best of all checkpoints on the films that judge it."""

from rayograph import task
from rayograph.report.view import EvaluationView, number
from rayograph.report.words import UNIT


def sentence(view: EvaluationView) -> str:
    """How much the best checkpoint leads by, and how much of that is luck; empty without any."""
    found = view.selection
    if not found:
        return ""
    lead, expected, p = (number(found[key]) for key in ("lead", "expected_by_luck", "p"))
    title = task.METRICS[found["metric"]].title
    epochs = found["best_epoch"], found["chosen_epoch"]
    if lead is None or None in epochs:
        return f"By {title} no checkpoint is better than another: it is not defined here."
    best, chosen = epochs
    if lead == 0:
        return f"By {title} none is better than epoch {chosen}, which validation chose."
    told = (
        f"By {title} epoch {best} is {lead:.3f} better than epoch {chosen}, which validation chose."
    )
    if expected is None or p is None:
        return f"{told} How much of that is luck cannot be told of so few patients."
    share = f"{min(1.0, expected / lead):.0%}".replace("%", UNIT)
    would = f"Were no checkpoint better, the best would still lead by {expected:.3f} on average"
    often = f"and by as much as this with p = {p:.3f}"
    meaning = "chance explains the lead" if found["all_luck"] else "chance alone does not"
    return f"{told} {would} ({share} of the lead), {often}: {meaning}."

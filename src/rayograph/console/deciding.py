"""What `evaluate` prints of decisions and probabilities: thresholds, prevalences, calibration."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rayograph import task as tasks
from rayograph.console.layout import grid
from rayograph.task import operating

if TYPE_CHECKING:
    from rayograph.runs.evaluations import Evaluation

RATES = ("sensitivity", "specificity")


def lines(found: "Evaluation") -> Iterator[Any]:
    """The thresholds and how they do, predictive values, and calibration before and after."""
    yield from _points(found)
    if found.predictive:
        table = grid("prevalence", "of", "positive predictive value", "negative predictive value")
        for name, rows in found.predictive.items():
            for row in rows:
                values = (written("ppv", row["ppv"]), written("npv", row["npv"]))
                table.add_row(f"{row['prevalence']:g}", name, *values)
        yield f"as it would be elsewhere, with these {found.noun}' sensitivity and specificity:"
        yield table
    if found.calibration is not None:
        fitted = found.temperature != 1
        told = f"temperature {found.temperature:.3f}, fitted on the validation {found.noun}"
        yield told if fitted else "temperature 1: none could be fitted, or there was no validation"
        if fitted:
            table = grid("", "before", "after")
            for name in found.calibration["before"]:
                pair = (found.calibration[when][name] for when in ("before", "after"))
                table.add_row(tasks.METRICS[name].title, *map(tasks.METRICS[name].written, pair))
            yield table


def _points(found: "Evaluation") -> Iterator[Any]:
    """The thresholds, and how they do here and on the validation films."""
    if found.operating_points is None or not found.at_points:
        return
    task = tasks.of(found.task, found.classes)
    if not found.labels:
        yield (
            f"threshold: {task.pointed[0]} from a probability of {found.operating_points[0]:.3f}"
            f"{_rule(found)}; everything else decides for the likelier class"
        )
    else:
        yield f"each label counts from its own probability{_rule(found)}"
    undefined = [
        name for name, p in zip(task.pointed, found.operating_points, strict=True) if p is None
    ]
    if undefined:
        yield f"undefined, so from 0.5: {', '.join(undefined)}"
    if found.chosen_on:
        table = grid("at the threshold", "", "validation", found.split)
        for name, own in found.at_points.items():
            for rate in RATES:
                before = found.chosen_on.get(name, {}).get(rate)
                table.add_row(name, rate, written(rate, before), written(rate, own[rate]))
        yield table


def _rule(found: "Evaluation") -> str:
    if found.operating_rule is None:
        return ", the mean of those that were chosen on each one's validation films"
    words = operating.rule(found.operating_rule, found.model).words
    return f", which {words} on the validation films"


def written(name: str, found: Mapping[str, float | None] | None) -> str:
    """A share with its interval: `81.0% (78.2% to 83.5%)`; what is undefined is said to be."""
    if found is None or found["value"] is None:
        return "undefined"
    style = tasks.METRICS[name].style if name in tasks.METRICS else "{:.1%}"
    value, low, high = (found[key] for key in ("value", "low", "high"))
    if low is None or high is None:
        return style.format(value)
    return f"{style.format(value)} ({style.format(low)} to {style.format(high)})"

"""`--require`: what was asked of a result, and how a command ends that misses it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from rayograph import task as tasks
from rayograph.errors import Missed
from rayograph.task import Estimate
from rayograph.task.gate import Answer

Require = Annotated[
    str,
    typer.Option(
        metavar="CONDITIONS", help="such as 'auroc_low>=0.9 loss<=0.3'; exit status 3 if missed"
    ),
]


def of_estimate(name: str, found: Estimate | None) -> dict[str, float | None]:
    """What can be asked of a metric: itself, and the ends of its interval."""
    known = found or Estimate(None)
    return {name: known.value, f"{name}_low": known.low, f"{name}_high": known.high}


def of_metrics(found: Mapping[str, Estimate]) -> dict[str, float | None]:
    """What can be asked of an evaluation: every metric, of any task."""
    return {
        key: value
        for name in tasks.METRICS
        for key, value in of_estimate(name, found.get(name)).items()
    }


def to_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """What was asked and found, as `--json` prints it."""
    return [
        {
            **({"model": answer.of} if answer.of else {}),
            "asked": str(answer.condition),
            "found": answer.found,
            "met": answer.met,
        }
        for answer in answers
    ]


def hold(answers: Sequence[Answer]) -> None:
    """Raise `Missed` that names every condition which was not met."""
    missed = [str(answer) for answer in answers if not answer.met]
    if missed:
        raise Missed(f"missed {len(missed)} of {len(answers)} required: {'; '.join(missed)}")

"""A comparison of models, as text for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rayograph.console import tables
from rayograph.console.layout import WIDTH, grid, lines
from rayograph.task.estimate import RESAMPLES
from rayograph.task.metric import UNDEFINED

if TYPE_CHECKING:
    from rayograph.evaluate.compare import Comparison
    from rayograph.evaluate.contest import Contest
    from rayograph.task import Estimate
    from rayograph.task.seeds import Seeds

SURE = 0.05  # the largest p of a difference that is told


def text(found: "Comparison") -> str:
    """What `compare` prints: the models, their differences from the first, a verdict of each."""
    first = found.models[0].evaluation
    noun, title = first.noun, found.metric.title
    models = grid("model", "epoch", title, "95 % interval")
    for each in found.models:
        epoch = UNDEFINED if each.evaluation.epoch is None else str(each.evaluation.epoch)
        models.add_row(each.name, epoch, *_estimate(each.metric))
    parts: list[Any] = [f"{first.split}: {found.films} {noun} of {found.patients} patients"]
    for each in found.models:
        parts += [f"{each.name}: {told}" for told in tables.cautions(each.evaluation)]
    parts += [models, _contests(found)]
    for other, labels in zip(found.models[1:], found.labels, strict=True):
        if labels:
            parts.append(_labels(f"label, {other.name}", labels))
    parts += [verdict(found, place) for place in range(len(found.contests))]
    parts += [*_seeds(found), *_notes(found)]
    return lines(parts, 2 * WIDTH)


def verdict(found: "Comparison", place: int) -> str:
    """A sentence on one of the contests: better, worse, or that no difference can be told."""
    contest, other = found.contests[place], found.models[place + 1].name
    reference, title = found.models[0].name, found.metric.title
    difference = contest.test.difference
    if difference.value is None or contest.p_holm is None:
        why = "is undefined" if difference.value is None else "has no interval"
        return f"{other} and {reference} cannot be told apart: {title} {why} on these samples"
    low, high = difference.low or 0.0, difference.high or 0.0
    many = " after Holm" if len(found.contests) > 1 else ""
    numbers = f"{title} {difference.value:+.3f} ({low:.3f} to {high:.3f}), "
    numbers += f"{_equals(contest.p_holm)}{many}"
    if contest.p_holm > SURE:
        many = f"{found.films} {found.models[0].evaluation.noun} of {found.patients} patients"
        return (
            f"no difference of {other} from {reference} can be told: {numbers}; with {many} a "
            f"difference below ±{(high - low) / 2:.3f} cannot be seen"
        )
    better = (difference.value > 0) == (found.metric.better == "higher")
    return f"{other} is {'better' if better else 'worse'} than {reference}: {numbers}"


def _contests(found: "Comparison") -> Any:
    table = grid(f"less {found.models[0].name}", *_HEADS)
    for other, contest in zip(found.models[1:], found.contests, strict=True):
        table.add_row(other.name, *_row(contest))
    return table


_HEADS = (
    "difference", "95 % interval", "p", "p (Holm)", "p (DeLong)", "more right, more wrong",
    "p (McNemar)",
)  # fmt: skip


def _labels(head: str, labels: "dict[str, Contest]") -> Any:
    table = grid(head, *_HEADS)
    for name, contest in labels.items():
        table.add_row(name, *_row(contest))
    return table


def _row(found: "Contest") -> Iterator[str]:
    value = found.test.difference.value
    yield UNDEFINED if value is None else f"{value:+.4f}"
    yield _interval(found.test.difference)
    yield _p(found.test.p)
    yield _p(found.p_holm)
    yield _p(None if found.delong is None else found.delong.p)
    pairs = found.mcnemar
    yield UNDEFINED if pairs is None else f"{pairs.gained}, {pairs.lost}"
    yield _p(None if pairs is None else pairs.p)


def _seeds(found: "Comparison") -> Iterator[str]:
    """What is said of runs that differ in their seed alone."""
    seeds: Seeds | None = found.seeds
    if seeds is None:
        return
    mean, title = seeds.mean, found.metric.title
    yield f"one recipe with {len(found.models)} seeds: these runs differ in nothing but train.seed"
    if mean.value is None or seeds.deviation is None:
        yield f"{title} is undefined on these samples"
        return
    told = f"{title} {mean.value:.4f}, standard deviation between seeds {seeds.deviation:.4f}"
    if mean.bounded:
        told += f"; 95 % interval {_interval(mean)} of both the {found.models[0].evaluation.noun}"
        told += f" (standard error {seeds.by_films:.4f}) and the seed ({seeds.by_seed:.4f})"
    yield told


def _notes(found: "Comparison") -> Iterator[str]:
    """What the tests take for granted."""
    noun = found.models[0].evaluation.noun
    yield f"intervals and p by bootstrap over patients, the same {RESAMPLES} resamples for all"
    kinds = sorted({each.mcnemar.kind for each in found.contests if each.mcnemar})
    if kinds:
        yield f"McNemar's test of the decisions: {', '.join(kinds)}"
    if found.patients < found.films:
        yield (
            f"DeLong and McNemar take {noun} as independent, but {found.films} {noun} are of "
            f"{found.patients} patients: they are not exact here, the bootstrap is to be trusted"
        )


def _estimate(found: "Estimate") -> tuple[str, str]:
    return UNDEFINED if found.value is None else f"{found.value:.4f}", _interval(found)


def _interval(found: "Estimate") -> str:
    if found.low is None or found.high is None:
        return UNDEFINED
    return f"{found.low:.4f} to {found.high:.4f}"


def _p(value: float | None) -> str:
    if value is None:
        return UNDEFINED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _equals(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"

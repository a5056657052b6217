"""Results as text for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from rayograph import task as tasks
from rayograph.console import census, deciding
from rayograph.console.layout import WIDTH
from rayograph.console.layout import grid as _table
from rayograph.console.layout import lines as _text
from rayograph.console.words import clock, setting, size

if TYPE_CHECKING:
    from rayograph.data.inspection import SplitSummary, Summary
    from rayograph.runs.evaluations import Evaluation
    from rayograph.search.folds import CrossValidation
    from rayograph.search.sweep import Outcome
    from rayograph.task import Estimate
    from rayograph.task.subgroups import Subgroups
    from rayograph.train.estimate import Needs

NO_COMMAND = "the winner took over weights on its way: no plain run repeats it"


def evaluation(found: "Evaluation") -> str:
    """What `evaluate` prints: a metric a line with its interval, then how it is for each class."""
    patients = f" of {found.patients} patients"
    model = f"{found.models} models together"
    if found.epoch is not None:
        model = f"model of epoch {found.epoch}"
    head = f"{found.split}: {found.films} {found.noun}{patients}, {model}"
    metrics = _table("metric", "value", "95 % interval")
    for name, estimate in found.metrics.items():
        metrics.add_row(tasks.METRICS[name].title, *_estimate(vars(estimate)))
    parts: list[Any] = [head, *cautions(found), metrics]
    if found.labels:
        defined = sum(metrics["auroc"].value is not None for metrics in found.labels.values())
        counted = f"of {len(found.labels)} labels, {defined} have {found.noun} of both kinds: AUROC"
        parts += [f"{counted} and the like are the mean over these", _labels(found)]
    else:
        parts += _classes(found)
    parts += deciding.lines(found)
    for name, column in found.subgroups.items():
        parts += _subgroups(name, column, found.noun)
    if found.checkpoints:
        headline = tasks.of(found.task, found.classes).headline
        checkpoints = _checkpoints(found.checkpoints, headline)
        parts += [f"exploratory: every checkpoint on these {found.noun}", checkpoints]
        parts += list(_selection(found))
    return _text(parts, 2 * WIDTH if found.labels or found.subgroups else WIDTH)


def _classes(found: "Evaluation") -> Iterator[Any]:
    """The confusion matrix."""
    confusion = _table("truth \\ decision", *found.classes)
    for name, row in zip(found.classes, found.confusion, strict=True):
        confusion.add_row(name, *map(str, row))
    yield confusion


def _labels(found: "Evaluation") -> Table:
    """Each label's metrics, and from which probability it counts as present."""
    first, *others = next(iter(found.labels.values()))
    heads = [tasks.METRICS[name].title for name in (first, *others)]
    table = _table("label", found.noun, heads[0], "95 % interval", *heads[1:], "from")
    points = found.operating_points or (None,) * len(found.labels)
    rows = zip(found.labels.items(), found.confusion, points, strict=True)
    for (label, metrics), (_, present), point in rows:
        rest = [_estimate(vars(metrics[name]), 3)[0] for name in others]
        at = "0.5" if point is None else f"{point:.3f}"
        table.add_row(label, str(sum(present)), *_estimate(vars(metrics[first]), 3), *rest, at)
    return table


def _subgroups(name: str, column: "Subgroups", noun: str) -> Iterator[Any]:
    """The parts of the films by one column, and the largest difference between two of them."""
    names = list(next(iter(column.parts.values())).metrics)
    table = _table(name, noun, *(tasks.METRICS[each].title for each in names))
    for group, part in column.parts.items():
        cells = [_with_interval(each, part.metrics[each]) for each in names]
        table.add_row(group, str(part.films), *cells)
    yield table
    for metric, gap in column.gaps.items():
        told = _with_interval(metric, gap.difference)
        title = tasks.METRICS[metric].title
        yield f"largest difference in {title}: {told} more in {gap.high} than in {gap.low}"


def _with_interval(name: str, found: "Estimate") -> str:
    metric = tasks.METRICS[name]
    if not found.bounded:
        return metric.written(found.value)
    low, high = metric.written(found.low), metric.written(found.high)
    return f"{metric.written(found.value)} ({low} to {high})"


def cautions(found: "Evaluation") -> Iterator[str]:
    """What the model knew of the judged films before, and which labels were not judged."""
    yield from (f"caution: {told}" for told in found.unmatched)
    if found.left_out:
        named = ", ".join(f"{name} {count}" for name, count in found.left_out.items())
        yield f"left out, of classes that are mapped to nothing: {named} {found.noun}"
    if (overlap := found.overlap) is None:
        return
    if overlap.unknown:
        yield f"not checked whether the model was trained on some of these films: {overlap.unknown}"
    elif found.fingerprint == found.trained_on:
        known = {"train": "the model was trained on", "val": "the best epoch was chosen by"}
        yield f"caution: {known[found.split]} these films, so they flatter it"
    elif overlap.films:
        yield (
            f"caution: {overlap.films} of {found.films} films are among those that the model was "
            "trained on or its epoch was chosen by, so they flatter it"
        )
    if overlap.patients and found.fingerprint != found.trained_on:
        yield (
            f"caution: {overlap.patients} of {found.patients} patients have an id that is among "
            "those, too: the same patients, if both sources number them alike"
        )


def _selection(found: "Evaluation") -> Iterator[str]:
    """That choosing a checkpoint by its table is exploratory, and how much of a lead is luck."""
    chosen = found.selection
    yield (
        f"a checkpoint that these {found.noun} choose is flattered by them: report the one that "
        "validation chose"
    )
    if chosen is None or chosen.lead is None:
        return
    title = tasks.METRICS[chosen.metric].title
    if chosen.lead == 0:
        yield f"no checkpoint is better than it by {title}"
        return
    told = f"epoch {chosen.best_epoch} leads it by {chosen.lead:.4f} of {title}"
    if chosen.expected_by_luck is None or chosen.p is None:
        yield f"{told}; how much of that is luck cannot be told of so few patients"
        return
    told += f"; if no checkpoint were better, the best of {len(found.checkpoints)} would lead by "
    told += f"{chosen.expected_by_luck:.4f} by luck alone (p = {chosen.p:.3f}): "
    share = min(1.0, chosen.expected_by_luck / chosen.lead)
    yield told + ("all of it may be luck" if chosen.all_luck else f"about {share:.0%} is luck")


def dataset(found: "Summary") -> str:
    """What `inspect` prints."""
    manifest = found.manifest
    values = [
        f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.values.items()
    ]
    head = f"{found.uri}: {', '.join(values)}, fingerprint {manifest.fingerprint[:12]}"
    noun = manifest.inputs.noun
    table = _table("split", noun, "patients", "shards", "record batches", "MB")
    kind = "class" if manifest.task == "multiclass" else "label"
    labels = _table(kind, *found.splits, f"AUROC of {found.auroc_assumed:g} on test")
    for name, split in found.splits.items():
        counts = (split.films, split.patients, split.shards, split.record_batches)
        table.add_row(name, *map(str, counts), f"{split.bytes / 1e6:.1f}")
    for name in manifest.classes:
        shares = (_share(split, name) for split in found.splits.values())
        labels.add_row(name, *shares, census.wide(found.auroc[name]))
    findings = [f"finding: {finding.message}" for finding in manifest.findings]
    ignored = sum(manifest.ignored.values())
    tail = f"{manifest.rejected} {noun} rejected, {ignored} other files ignored"
    return _text([head, table, labels, *census.lines(found), *findings, tail])


def _share(split: "SplitSummary", name: str) -> str:
    """How many have a class or label, their share, and of how many it is not known."""
    unknown = f", {split.unknown[name]} unknown" if split.unknown[name] else ""
    return f"{split.labels[name]} ({split.prevalence[name]:.1%}{unknown})"


def needs(found: "Needs", workers: int, billed: bool) -> str:
    """What `train --dry-run` prints, with S3's bill or without."""
    table = _table("what", "")
    table.add_row("films", f"{found.films:,} + {found.validation_films:,} for validation")
    table.add_row("steps", f"{found.steps_per_epoch:,} an epoch, {found.steps:,} in all")
    table.add_row("a worker reads", f"{size(found.bytes_per_worker_and_epoch)} an epoch")
    if billed:
        bill = found.bill
        table.add_row("the store", f"{bill.requests:,} requests, {size(bill.bytes)} in all")
        table.add_row("at S3's list price", f"{bill.usd:,.2f} USD for the requests")
        table.add_row("from another region", f"{bill.usd_from_another_region:,.2f} USD")
    table.add_row("a checkpoint", size(found.checkpoint_bytes))
    for name, count in found.memory_per_worker.items():
        table.add_row(f"memory of a worker: {name.replace('_', ' ')}", size(count))
    if found.seconds is not None:
        table.add_row("time", clock(found.seconds))
    if found.price is not None:
        table.add_row(f"price, {workers} workers", f"{found.price:,.2f}")
    tail = "nothing was written or started"
    if found.epochs_done:
        tail = f"continues after epoch {found.epochs_done}; {tail}"
    return _text([table, tail])


def sweep(table: Table, found: "Outcome", select: str) -> str:
    """What `sweep` prints when it ends: the trials best first, folds, the cost, the winner."""
    spent, whole = (round(seconds, 1) for seconds in found.ledger.cost())
    tail = [f"{spent:g} worker-seconds spent"]
    if whole > spent:
        tail[0] += f", {1 - spent / whole:.0%} less than the {whole:g} of no early stop"
    if found.winner is not None:
        tail.append(f"winner: {found.winner.name}, best model: {found.best_model}")
        tail.append(f"as a plain run: {found.command}" if found.command else NO_COMMAND)
    folds = [_folds(each, select) for each in found.folds(select)]
    return _text([table, *folds, *tail, f"page: {found.folder.page}"], width=2 * WIDTH)


def _folds(found: "CrossValidation", select: str) -> str:
    """A cross-validation in a line: mean, deviation, and the options if any were compared."""
    metric = tasks.column(select)
    spread = "" if found.deviation is None else f" ± {found.deviation:.4f}"
    options = "".join(f"  {key}={setting(value)}" for key, value in found.params.items())
    count = len(found.values)
    return f"{count} folds: {metric.title} {found.mean:.4f}{spread} (standard deviation){options}"


def _checkpoints(rows: Sequence[Mapping[str, Any]], headline: Sequence[str]) -> Table:
    """The first of the headline with its interval, the others, and the loss."""
    first, *others = [*headline[:2], "loss"]
    heads = [tasks.METRICS[name].title for name in others]
    table = _table("epoch", tasks.METRICS[first].title, "95 % interval", *heads)
    for row in rows:
        metrics = row["metrics"]
        rest = [_estimate(metrics[name])[0] for name in others]
        table.add_row(str(row["epoch"]), *_estimate(metrics[first]), *rest)
    return table


def _estimate(found: Mapping[str, float | None], digits: int = 4) -> tuple[str, str]:
    """A value and its interval, each to so many digits."""
    value, low, high = found["value"], found["low"], found["high"]
    interval = "" if low is None or high is None else f"{low:.{digits}f}–{high:.{digits}f}"
    return "undefined" if value is None else f"{value:.{digits}f}", interval

"""Results as text for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from rayograph.train.lines import clock

WIDTH = 100
NO_COMMAND = "the winner took over weights on its way: no plain run repeats it"


def evaluation(found: Mapping[str, Any]) -> str:
    """What `evaluate` prints: a metric a line with its interval, and the confusion matrix."""
    patients = f" of {found['patients']} patients"
    head = f"{found['split']}: {found['films']} films{patients}, model of epoch {found['epoch']}"
    metrics = _table("metric", "value", "95 % interval")
    for name, estimate in found["metrics"].items():
        metrics.add_row(name.replace("_", " "), _number(estimate["value"]), _interval(estimate))
    confusion = _table("truth \\ decision", *found["classes"])
    for name, row in zip(found["classes"], found["confusion"], strict=True):
        confusion.add_row(name, *map(str, row))
    parts: list[Any] = [head, metrics, confusion]
    if found["threshold"] is not None:
        positive = found["classes"][1]
        parts.append(
            f"threshold: {positive} from a probability of {found['threshold']:.3f}, chosen on the "
            "validation films; everything else decides for the likelier class"
        )
    if "checkpoints" in found:
        parts += [
            "exploratory: every checkpoint on these films",
            _checkpoints(found["checkpoints"]),
        ]
    return _text(parts)


def dataset(found: Mapping[str, Any]) -> str:
    """What `inspect` prints."""
    recipe, classes = found["recipe"], found["classes"]
    head = (
        f"{found['uri']}: {recipe['size']} pixels ({recipe['resize']}), codec {found['codec']}, "
        f"mean {found['mean']:.4f}, std {found['std']:.4f}, fingerprint {found['fingerprint'][:12]}"
    )
    table = _table("split", "films", "patients", "shards", "record batches", "MB", *classes)
    for name, part in found["splits"].items():
        shares = [f"{part['labels'][c]} ({part['prevalence'][c]:.1%})" for c in classes]
        counts = [part[k] for k in ("films", "patients", "shards", "record_batches")]
        table.add_row(name, *map(str, counts), f"{part['bytes'] / 1e6:.1f}", *shares)
    findings = [f"finding: {finding['message']}" for finding in found["findings"]]
    ignored = sum(found["ignored"].values())
    tail = f"{found['rejected']} films rejected, {ignored} other files ignored"
    return _text([head, table, *findings, tail])


def estimate(found: Mapping[str, Any], workers: int) -> str:
    """What `train --dry-run` prints."""
    table = _table("what", "")
    films = f"{found['films']:,} + {found['validation_films']:,} for validation"
    table.add_row("films", films)
    table.add_row("steps", f"{found['steps_per_epoch']:,} an epoch, {found['steps']:,} in all")
    table.add_row("a worker reads", f"{_bytes(found['bytes_per_worker_and_epoch'])} an epoch")
    table.add_row("a checkpoint", _bytes(found["checkpoint_bytes"]))
    for name, size in found["memory_per_worker"].items():
        table.add_row(f"memory of a worker: {name.replace('_', ' ')}", _bytes(size))
    if "seconds" in found:
        table.add_row("time", clock(found["seconds"]))
    if "price" in found:
        table.add_row(f"price, {workers} workers", f"{found['price']:,.2f}")
    tail = "nothing was written or started"
    if found["epochs_done"]:
        tail = f"goes on after epoch {found['epochs_done']}; {tail}"
    return _text([table, tail])


def sweep(table: Table, found: Mapping[str, Any]) -> str:
    """What `sweep` prints when it ends: the trials best first, the cost, the winner."""
    spent, whole = found["worker_seconds"]["spent"], found["worker_seconds"]["to_the_end"]
    tail = [f"{spent:g} worker-seconds spent"]
    if whole > spent:
        tail[0] += f", {1 - spent / whole:.0%} less than the {whole:g} of no early stop"
    if found["winner"] is not None:
        tail.append(f"winner: {found['winner']}, best model: {found['best_model']}")
        command = found["command"]
        tail.append(f"as a plain run: {command}" if command else NO_COMMAND)
    return _text([table, *tail, f"page: {found['page']}"], width=2 * WIDTH)


def _checkpoints(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("epoch", "accuracy", "95 % interval", "AUROC", "loss")
    for row in rows:
        accuracy, auroc, loss = (row["metrics"][k] for k in ("accuracy", "auroc", "loss"))
        figures = [_number(e["value"]) for e in (accuracy, auroc, loss)]
        table.add_row(str(row["epoch"]), figures[0], _interval(accuracy), *figures[1:])
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _interval(estimate: Mapping[str, float | None]) -> str:
    low, high = estimate["low"], estimate["high"]
    return "" if low is None or high is None else f"{low:.4f}–{high:.4f}"


def _text(parts: Sequence[Any], width: int = WIDTH) -> str:
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())

"""What stands above a preset: the dataset, what to expect of it, how to train it."""

import re
from collections.abc import Iterator, Mapping

from rayograph.advice.case import Case
from rayograph.advice.facts import Counts
from rayograph.advice.rules import BOOK
from rayograph.advice.timing import Measured
from rayograph.data.inspection import AUROC
from rayograph.errors import one_line
from rayograph.train.estimate import Needs

NAMED, TOLD = 4, 5  # classes in a sentence; findings


def lines(case: Case, needs: Needs, measured: Measured | None, file: str) -> Iterator[str]:
    """Its paragraphs; those that begin with blanks are commands, or rows of a table."""
    yield from (*_dataset(case), "", *_expected(case, needs, measured), "")
    yield from _commands(case, file)
    for note in BOOK.notes:
        if note.holds(case):
            yield from ("", note.text, *(f"  {each.format(file=file)}" for each in note.commands))


def run_name(case: Case) -> str:
    """A name for the run: the dataset's, of letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", case.facts.name).strip("._-")[:80] or "run"


def _dataset(case: Case) -> Iterator[str]:
    facts = case.facts
    splits = {"training": facts.train, "validation": facts.val, "testing": facts.test}
    every = [(name, counts) for name, counts in splits.items() if counts]
    parts = ", ".join(f"{c.films:,} for {name} ({c.patients:,} patients)" for name, c in every)
    packed = f", packed at {facts.side} pixels" if facts.side else ""
    yield f"A preset by `rayograph plan` for {one_line(facts.name)}: {facts.noun}{packed}; {parts}."
    yield f"Of each class or label, in {', '.join(name for name, _ in every)}:"
    for name in facts.train.present:
        shares = ", ".join(_counted(counts, name) for _, counts in every)
        yield f"  {one_line(name)}: {shares}"
    for finding in facts.findings[:TOLD]:
        yield f"Finding: {one_line(finding)}."
    if len(facts.findings) > TOLD:
        yield f"{len(facts.findings) - TOLD} more findings: `rayograph inspect` has them."


def _counted(counts: Counts, name: str) -> str:
    return f"{counts.present[name]:,} ({counts.share(name):.1%})"


def _expected(case: Case, needs: Needs, measured: Measured | None) -> Iterator[str]:
    facts = case.facts
    if facts.widths is not None and facts.test is not None:
        yield _interval(facts.widths, facts.test, facts.noun)
    told = f"{needs.steps:,} steps ({needs.steps_per_epoch:,} an epoch)"
    memory = sum(needs.memory_per_worker.values())
    memory_told = f"{memory / 1e9:.1f} GB a worker beside the 0.7 GB of Ray and torch"
    if measured is None or needs.seconds is None:
        yield f"Expect {told}, and {memory_told}. No time: the GPU to measure it on is not here."
        return
    workers = f"{case.workers} workers" if case.workers > 1 else "1 worker"
    each = f"{case.cpus} {'CPUs' if case.cpus > 1 else 'CPU'}{' and 1 GPU' if case.gpus else ''}"
    took = f"took a worker {_seconds(measured.seconds)} here (measured, median of {measured.steps})"
    if measured.busy:
        took = (
            f"took a worker {_seconds(measured.seconds)} of CPU time here (measured, median of "
            f"{measured.steps}; {_seconds(measured.clock_seconds)} by the clock, for the machine "
            "had other work)"
        )
    yield (
        f"Expect {_duration(needs.seconds)} of training with {workers} of {each} each: {told}, of "
        f"which one of {measured.films} {facts.noun} {took}. Validation is in it; reading, sums "
        f"over workers and some 20 s of Ray's start are not. It takes {memory_told}."
    )


def _interval(widths: Mapping[str, float | None], test: Counts, noun: str) -> str:
    defined = sorted((w, name) for name, w in widths.items() if w is not None)
    lacking = [one_line(name) for name, width in widths.items() if width is None]
    without = f" Undefined, since one kind is absent: {', '.join(lacking[:NAMED])}"
    without += f" and {len(lacking) - NAMED} more." if len(lacking) > NAMED else "."
    if not defined:
        return f"Expect no AUROC on the test {noun}.{without}"
    (least, best), (most, worst) = defined[0], defined[-1]
    span = f"±{most:.3f}" if f"{least:.3f}" == f"{most:.3f}" else ""
    span = span or f"±{least:.3f} ({one_line(best)}) to ±{most:.3f} ({one_line(worst)})"
    several = ""
    if test.patients < test.films:
        several = f"; {test.films:,} {noun} of {test.patients:,} patients make it wider"
    return (
        f"Expect an AUROC of {AUROC:g} on the test {noun} to have a 95 % interval of {span} "
        f"(Hanley and McNeil 1982{several}): less between two models says nothing."
        f"{without if lacking else ''}"
    )


def _commands(case: Case, file: str) -> Iterator[str]:
    yield f"  rayograph train {file} run.storage=RUNS"
    if case.facts.test is not None:
        yield f"  rayograph evaluate RUNS/{run_name(case)}"


def _seconds(count: float) -> str:
    return f"{count:.2g} s" if count < 10 else f"{count:.0f} s"


def _duration(count: float) -> str:
    if count < 90:
        return f"about {max(count, 1):.0f} s"
    return f"about {count / 60:.0f} min" if count < 5400 else f"about {count / 3600:.1f} h"

"""The preset of a case: its choices by the rules, as a config and as YAML with the reasons."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayograph.advice.case import Case
from rayograph.advice.facts import Counts
from rayograph.advice.rules import BOOK
from rayograph.advice.timing import Measured
from rayograph.config import RunConfig
from rayograph.data.inspection import AUROC
from rayograph.errors import one_line
from rayograph.train.estimate import Needs

WIDTH = 100
NAMED, TOLD = 4, 5  # classes in a sentence; findings


@dataclass(frozen=True)
class Choice:
    """An option by its dotted key, its value, and why."""

    option: str
    value: Any
    why: str


def choices(case: Case) -> list[Choice]:
    """What the rules choose for a case: of each option the first rule that holds."""
    found: dict[str, Choice] = {}
    figures = {name: getattr(case, name) for name in dir(case) if not name.startswith("_")}
    for rule in BOOK.rules:
        if rule.option not in found and rule.holds(case):
            why = rule.why.format(**figures)
            found[rule.option] = Choice(rule.option, rule.valued(case), why)
    return list(found.values())


def run_name(case: Case) -> str:
    """A name for the run: the dataset's, of letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", case.facts.name).strip("._-")[:80] or "run"


def config(case: Case, chosen: Sequence[Choice]) -> RunConfig:
    """The config that the preset will be read as."""
    tree: dict[str, dict[str, Any]] = {"run": {"name": run_name(case)}}
    tree["data"] = {"uri": case.facts.uri}
    for each in chosen:
        group, _, name = each.option.partition(".")
        tree.setdefault(group, {})[name] = each.value
    return RunConfig.parse(tree)


def text(
    case: Case, chosen: Sequence[Choice], needs: Needs, measured: Measured | None, file: str
) -> str:
    """The preset: what the dataset is, what to expect, how to train it, then each choice."""
    lines = [*_head(case), "", *_expected(case, needs, measured), "", *_commands(case, file)]
    for note in BOOK.notes:
        if note.holds(case):
            commands = [f"  {command.format(file=file)}" for command in note.commands]
            lines += ["", note.text, *commands]
    head = [line for each in lines for line in _comment(each)]
    groups: dict[str, list[str]] = {
        "run": [f"  name: {json.dumps(run_name(case))}"],
        "data": [f"  uri: {json.dumps(case.facts.uri, ensure_ascii=False)}"],
    }
    for each in chosen:
        group, _, name = each.option.partition(".")
        body = groups.setdefault(group, [])
        body += _comment(each.why, "  ")
        body.append(f"  {name}: {json.dumps(each.value)}")
    return "\n".join([*head, *(line for g, body in groups.items() for line in (f"{g}:", *body))])


def _comment(said: str, indent: str = "") -> list[str]:
    """Lines of a comment; of a line that begins with blanks, a command, one line."""
    start = f"{indent}# "
    if said.startswith("  ") or not said:
        return [f"{start}{said}".rstrip()]
    return textwrap.wrap(
        said, WIDTH, initial_indent=start, subsequent_indent=start,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _head(case: Case) -> Iterator[str]:
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
            f"{measured.steps}; {_seconds(measured.clock_seconds)} by the clock, for the machine had "
            "other work)"
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
    span = f"± {most:.3f}" if f"{least:.3f}" == f"{most:.3f}" else ""
    span = span or f"± {least:.3f} ({one_line(best)}) to ± {most:.3f} ({one_line(worst)})"
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

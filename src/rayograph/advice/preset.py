"""The preset of a case: its choices by the rules, as a config and as YAML with the reasons."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rayograph.advice import head
from rayograph.advice.case import Case
from rayograph.advice.rules import BOOK
from rayograph.advice.timing import Measured
from rayograph.config import RunConfig
from rayograph.train.estimate import Needs

WIDTH = 100


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


def config(case: Case, chosen: Sequence[Choice]) -> RunConfig:
    """The config that the preset will be read as."""
    tree: dict[str, dict[str, Any]] = {"run": {"name": head.run_name(case)}}
    tree["data"] = {"uri": case.facts.uri}
    for each in chosen:
        group, _, name = each.option.partition(".")
        tree.setdefault(group, {})[name] = each.value
    return RunConfig.parse(tree)


def text(
    case: Case, chosen: Sequence[Choice], needs: Needs, measured: Measured | None, file: str
) -> str:
    """The preset: what the dataset is, what to expect, how to train it, then each choice."""
    said = [line for each in head.lines(case, needs, measured, file) for line in _comment(each)]
    groups: dict[str, list[str]] = {
        "run": [f"  name: {json.dumps(head.run_name(case))}"],
        "data": [f"  uri: {json.dumps(case.facts.uri, ensure_ascii=False)}"],
    }
    for each in chosen:
        group, _, name = each.option.partition(".")
        body = groups.setdefault(group, [])
        body += _comment(each.why, "  ")
        body.append(f"  {name}: {json.dumps(each.value)}")
    return "\n".join([*said, *(line for g, body in groups.items() for line in (f"{g}:", *body))])


def _comment(said: str, indent: str = "") -> list[str]:
    """Lines of a comment; of a line that begins with blanks, a command, one line."""
    said = "".join(letter if letter.isprintable() else "?" for letter in said)  # YAML has no others
    start = f"{indent}# "
    if said.startswith("  ") or not said:
        return [f"{start}{said}".rstrip()]
    return textwrap.wrap(
        said, WIDTH, initial_indent=start, subsequent_indent=start,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip

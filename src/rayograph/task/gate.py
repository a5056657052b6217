"""Conditions that a result must meet: `auroc_low>=0.90 sensitivity>=0.85`."""

import difflib
import math
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rayograph.errors import UserError, one_line

SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
ONE = re.compile(r"([A-Za-z]\w*)\s*(>=|<=|>|<)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)(?=[\s,]|$)")

BETWEEN = re.compile(r"^[\s,]+")


@dataclass(frozen=True)
class Condition:
    """A name, a sign of `SIGNS`, and the number that is asked."""

    name: str
    sign: str
    number: float

    def __str__(self) -> str:
        """As it can be asked: `auroc_low>=0.9`."""
        return f"{self.name}{self.sign}{self.number!r}"

    def met(self, value: float | None) -> bool:
        """Whether a value is as asked; one that is not defined is not."""
        return value is not None and bool(SIGNS[self.sign](value, self.number))


@dataclass(frozen=True)
class Answer:
    """A condition, and what was found, of whom if there are several."""

    condition: Condition
    found: float | None
    of: str | None = None

    @property
    def met(self) -> bool:
        """Whether it is as asked."""
        return self.condition.met(self.found)

    def __str__(self) -> str:
        """`auroc_low>=0.9, found 0.8712`."""
        found = "undefined" if self.found is None else f"{self.found:.6g}"
        return f"{self.of + ': ' if self.of else ''}{self.condition}, found {found}"


def parse(asked: str, names: Collection[str]) -> tuple[Condition, ...]:
    """The conditions in words that spaces or commas part; none of an empty text.

    `UserError` for what is no condition, a name that is not one of `names` (which names the
    nearest), and a number that is none.
    """
    found: list[Condition] = []
    rest = asked
    while rest := BETWEEN.sub("", rest, count=1):
        match = ONE.match(rest)
        if match is None:
            raise UserError(
                f"--require: {one_line(rest.split()[0])} is no condition; write "
                "NAME>=NUMBER, or with <=, > or <, as in auroc_low>=0.9"
            )
        found.append(_condition(match, names))
        rest = rest[match.end() :]
    return tuple(found)


def _condition(match: re.Match[str], names: Collection[str]) -> Condition:
    name, sign, said = match.groups()
    if name not in names:
        near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UserError(f"--require: {one_line(name)}: no such result; {hint}")
    try:
        number = float(said)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"--require: {one_line(match[0])}: {one_line(said)} is no number")
    return Condition(name, sign, number)


def answers(
    asked: Sequence[Condition], values: Mapping[str, float | None], of: str | None = None
) -> list[Answer]:
    """What was found of each condition; a value that is not there is not defined."""
    return [Answer(each, values.get(each.name), of) for each in asked]

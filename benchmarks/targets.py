"""A benchmark's figures beside what they should be: a table for people, JSON for the rest."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value; `most` and `least` bound it where there is a target."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None

    @property
    def target(self) -> str:
        """The bound, as it is printed."""
        if self.most is not None:
            return f"≤ {self.most:g}"
        return f"≥ {self.least:g}" if self.least is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the target was reached; nothing where there is none."""
        if self.most is None and self.least is None:
            return ""
        high = self.most is not None and self.value > self.most
        low = self.least is not None and self.value < self.least
        return "MISSED" if high or low else "reached"


def show(title: str, figures: Sequence[Figure], out: Path | None, **facts: Any) -> None:
    """Print the figures under their title, and write them to `out` together with the facts."""
    print(f"\n{title}")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        value = f"{figure.value:,.4g}" if figure.value < 1000 else f"{figure.value:,.0f}"
        line = f"  {figure.name:<{width}}  {value:>9} {figure.unit:<8}"
        print(f"{line} {figure.target:>9} {figure.verdict}".rstrip())
    print(flush=True)
    if out:
        told = [{**asdict(f), "verdict": f.verdict} for f in figures]
        out.write_text(json.dumps({"title": title, **facts, "figures": told}, indent=1) + "\n")

"""Sentences and tables, set for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 100


def grid(first: str, *others: str) -> Table:
    """A table with these heads; all columns but the first are numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def lines(parts: Sequence[Any], width: int = WIDTH) -> str:
    """Sentences, which are not wrapped, and tables, below each other."""
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())

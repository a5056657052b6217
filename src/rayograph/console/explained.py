"""What `explain` and `suspects` print."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from rayograph.console.layout import WIDTH, grid
from rayograph.console.layout import lines as _text
from rayograph.report import gallery as shown
from rayograph.report import suspects as ranked


def _table(*heads: str, numbers: tuple[str, ...]) -> Table:
    """A table of words, but for these columns."""
    table = grid(*heads)
    for column in table.columns:
        column.justify = "right" if column.header in numbers else "left"
    return table


def gallery(found: Mapping[str, Any]) -> str:
    """The verdict on the maps, and a line a film."""
    table = _table(
        "films", "truth", "decision", "map of", "p", "Grad-CAM strongest", "film", numbers=("p",)
    )
    for group in found["groups"]:
        title = shown.title(group)
        for each in group["films"]:
            where = each["strongest"]["grad_cam"] or "nowhere"
            said = (each["truth"], each["decision"], each["explained"])
            table.add_row(title, *said, f"{each['probability']:.3f}", where, each["sample_id"])
            title = ""
    layer = found["layer"]
    height, width = layer["cells"]
    head = f"Grad-CAM of {layer['name']}, {height} × {width} cells, and input gradients"
    return _text([*shown.verdicts(found), *shown.notes(found), head, table], 2 * WIDTH)


def suspects(found: Mapping[str, Any]) -> str:
    """What was ranked, and a line a suspect."""
    labels = any("label" in each for each in found["suspects"])
    heads = ("label", "given") if labels else ("given",)
    numbers = ("rank", "p of the given", "score")
    others = ("predicted", "p of the given", "score", "part", "sample")
    table = _table("rank", *heads, *others, numbers=numbers)
    for each in found["suspects"]:
        own = [each[name] for name in heads]
        values = (f"{each['p_given']:.4f}", f"{each['score']:.2f}")
        table.add_row(
            str(each["rank"]), *own, each["predicted"], *values, each["part"], each["sample_id"]
        )
    return _text([*ranked.words(found), table], 2 * WIDTH)

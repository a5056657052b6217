"""Numbers as people read them."""

import json
import time
from collections.abc import Sequence
from typing import Any


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss`, or `mm:ss`."""
    whole = time.gmtime(max(seconds, 0))
    hours = int(seconds // 3600)
    return (
        f"{hours}:{whole.tm_min:02}:{whole.tm_sec:02}" if hours else time.strftime("%M:%S", whole)
    )


def size(count: float) -> str:
    """Bytes, in units of a thousand."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def meaning(task: str, classes: Sequence[str]) -> str:
    """What the classes of a task are: the negative one and the others, or labels."""
    if task == "multilabel":
        return f"labels, each present or absent by itself: {', '.join(classes)}"
    negative, *others = classes
    return f"negative class (nothing found): {negative}; the others: {', '.join(others)}"


def setting(given: Any) -> str:
    """An option's value in short: four digits of a float."""
    if isinstance(given, float):
        return f"{given:.4g}"
    return given if isinstance(given, str) else json.dumps(given)

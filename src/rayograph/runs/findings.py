"""What commands other than `evaluate` found of a run: a document each, which the report shows."""

import json
from collections.abc import Mapping
from typing import Any

from rayograph import storage


def save(run: str, name: str, document: Mapping[str, Any]) -> None:
    """Write a finding into a run's `evaluation/NAME.json`."""
    storage.write(_place(run, name), json.dumps(document, indent=1).encode())


def load(run: str, name: str) -> dict[str, Any] | None:
    """What `save` wrote of that name; None where nothing was."""
    place = _place(run, name)
    if not storage.exists(place):
        return None
    found: dict[str, Any] = json.loads(storage.read(place))
    return found


def _place(run: str, name: str) -> str:
    return storage.join(run, "evaluation", f"{name}.json")

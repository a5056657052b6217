"""One sample on its way into a dataset."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A usable sample: who it is, what it is labelled, where it lies, and how it looks.

    `said` is what a table says beside, `header` what the original itself does; `row` is its row in
    the scan; `look` its place in `Looks`, None of what cannot be seen.
    """

    sample_id: str
    source: str
    origin: str | None
    sha256: str
    patient_id: str
    labels: tuple[int, ...]
    split: str | None
    said: Mapping[str, Any]
    header: str  # JSON
    look: int | None
    row: int

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known beside, by name; where both say something, the table's counts."""
        known = {name: value for name, value in self.said.items() if value is not None}
        return {**dict.fromkeys(self.said), **json.loads(self.header), **known}


@dataclass(frozen=True, slots=True)
class Rejection:
    """An original that cannot be used, and why; `labels` as far as its source knows them.

    It is no `loss` where nobody counts on it: a report among films, a film that no row names.
    """

    sample_id: str
    source: str
    reason: str
    labels: tuple[int, ...]
    loss: bool = True

"""What a metric is: name, title, direction, interval, function. Whoever shows one asks here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
SPLITS = {"train": "training", "val": "validation", "test": "test"}
UNDEFINED = "–"
PERCENT = "{:.1%}"


@dataclass(frozen=True)
class Metric:
    """One number that says how good predictions are.

    `name` is its key in `evaluate --json`, and after `val_` in the history; `title` is how it is
    written inside a sentence; `value` gives it for each of r resamples, NaN where it is undefined.
    A plain proportion has `counts` (bool [n]: which samples are right, and which count), and so
    Wilson's interval (of several samples a patient by their effective number); any other metric
    has a bootstrap over patients, or, without `bounds`, none.
    """

    name: str
    title: str
    value: Callable[[Any], Floats]
    better: Literal["higher", "lower"] = "higher"
    style: str = "{:.3f}"
    counts: Callable[[Any], tuple[Bools, Bools]] | None = None
    bounds: bool = True

    @property
    def interval(self) -> Literal["wilson", "bootstrap", "none"]:
        """The kind of its interval."""
        if not self.bounds:
            return "none"
        return "bootstrap" if self.counts is None else "wilson"

    @property
    def heading(self) -> str:
        """How it is written where a line begins."""
        return self.title[0].upper() + self.title[1:]

    def written(self, value: float | None) -> str:
        """A value as people read it."""
        return UNDEFINED if value is None else self.style.format(value)


STRESS = Metric(  # which only training gives: of predictions alone it is undefined
    "stress", "score under stress", lambda r: np.full(len(r.weights), np.nan), bounds=False
)


@dataclass(frozen=True)
class Column:
    """A metric of one split, as the history names it: `val_auroc`."""

    name: str
    split: str
    metric: Metric

    @property
    def title(self) -> str:
        """`validation AUROC`."""
        return f"{SPLITS[self.split]} {self.metric.title}"

    @property
    def heading(self) -> str:
        """`Validation AUROC`."""
        return self.title[0].upper() + self.title[1:]

    def score(self, row: Mapping[str, Any]) -> float | None:
        """What a row has of it, the more the better; None where it is undefined."""
        value = row.get(self.name)
        if value is None or np.isnan(value):
            return None
        return float(value) if self.metric.better == "higher" else -float(value)

"""How much of the lead of the best of several is luck, where the same samples chose and judge."""

from dataclasses import dataclass

import numpy as np

from rayograph.task.metric import Floats

LEVEL = 0.05


@dataclass(frozen=True)
class Luck:
    """The best of several candidates beside a benchmark that was chosen without these samples.

    `lead` is how much better the best one looks, at least 0. `expected` is the lead that the best
    would have, on average, if no candidate were better than the benchmark; `p` is how often it
    would then be at least as large as the one seen. None is what is not defined.
    """

    best: int | None  # which of the candidates
    lead: float | None
    expected: float | None
    p: float | None

    @property
    def all_luck(self) -> bool | None:
        """Whether chance explains the lead at the level of 5 %; None is not known."""
        return None if self.p is None else self.p > LEVEL

    @property
    def share(self) -> float | None:
        """The part of the lead, 0 to 1, that chance gives on average; None without a lead."""
        if self.lead is None or self.expected is None or self.lead <= 0:
            return None
        return min(1.0, self.expected / self.lead)


def luck(benchmark: float, values: Floats, drawn: Floats, patients: int) -> Luck:
    """Of candidates' values [m] beside a benchmark's, the more the better.

    `drawn` [r, 1 + m] holds the benchmark and the candidates in the same resamples of patients.
    In each resample the candidates' leads are centred on what they would be if none were better
    than the benchmark: on 0, or on the lead itself of a candidate that is clearly worse (by more
    than √(2 log log n) standard errors, n patients), which can win by no luck. The largest of these
    and 0 is the lead of the best by luck alone. Sources: White, A reality check for data snooping,
    Econometrica 68 (2000) 1097; Hansen, Journal of Business & Economic Statistics 23 (2005) 365.
    """
    leads = values - benchmark
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    if np.isnan(leads).any() or not len(leads):
        return Luck(None, None, None, None)
    best, lead = int(np.argmax(leads)), max(0.0, float(leads.max()))
    if not len(drawn) or patients < 3:
        return Luck(best, lead, None, None)
    moved = drawn[:, 1:] - drawn[:, :1] - leads
    far = np.sqrt(2 * np.log(np.log(patients))) * moved.std(axis=0)
    null = np.maximum(0, (moved + np.where(leads <= -far, leads, 0)).max(axis=1))
    p = (np.count_nonzero(null >= lead) + 1) / (len(null) + 1)
    return Luck(best, lead, float(null.mean()), float(p))

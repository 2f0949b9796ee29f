"""The verdict on the comparisons of a claim."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .comparison import Comparison
from .statistics import holm, interval

HOLDS, FAILS, UNDECIDED = "HOLDS", "DOES NOT HOLD", "UNDECIDED"


@dataclass(frozen=True)
class Finding:
    """A comparison with its verdict.

    Parameters
    ----------
    comparison : Comparison
        The comparison.
    level : float
        The significance level at which it is tested.
    """

    comparison: Comparison
    level: float

    @property
    def verdict(self) -> str:
        """HOLDS, FAILS or UNDECIDED."""
        if self.comparison.p_holds <= self.level:
            return HOLDS
        return FAILS if self.comparison.p_fails <= self.level else UNDECIDED

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The confidence interval that decides."""
        return interval(self.comparison.values, 1 - self.level)

    @property
    def middle(self) -> float:
        """The mean over the seeds, or the median where a value is infinite."""
        values = np.asarray(self.comparison.values, float)
        return float(np.mean(values) if np.isfinite(values).all() else np.median(values))

    @property
    def condition(self) -> str:
        """The interval and the bounds in words, such as "ratio 1.4 [1.2, 1.6], above 1"."""
        c = self.comparison
        middle, first, last, low, high = (
            f"{10.0**value if c.ratio else value:.3g}"
            for value in (self.middle, *self.interval, c.low, c.high)
        )
        bounds = f"between {low} and {high}"
        if c.high == np.inf:
            bounds = f"above {low}"
        elif c.low == -np.inf:
            bounds = f"below {high}"
        if np.isnan(self.middle):
            return f"not known, {bounds}"
        return f"{'ratio ' if c.ratio else ''}{middle} [{first}, {last}], {bounds}"


def findings(comparisons: Iterable[Comparison]) -> tuple[Finding, ...]:
    """Judge the comparisons of a claim together, by Holm's procedure."""
    comparisons = tuple(comparisons)
    levels = holm([min(c.p_holds, c.p_fails) for c in comparisons])
    return tuple(Finding(c, level) for c, level in zip(comparisons, levels, strict=True))


def verdict(found: Iterable[Finding]) -> str:
    """FAILS if a finding does, HOLDS if all do, else UNDECIDED."""
    verdicts = {finding.verdict for finding in found}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else UNDECIDED

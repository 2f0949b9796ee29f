"""A comparison that a claim rests on: values over seeds, and bounds of their mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from ..._types import Array, Float
from .statistics import p_value, region

EFFECT = float(np.log10(1.05))
"""The effect that matters: an advantage below 5 % does not make a method better."""
AS_GOOD = 1.1
"""A method whose error is at most so many times another's is as good."""
REGION = 0.75
"""The share of the seeds in a region, where a paper shows such a one."""


@dataclass(frozen=True)
class Comparison:
    """One comparison that a claim rests on: whether a mean over seeds lies between two bounds.

    Parameters
    ----------
    what : str
        What is compared.
    numbers : str
        The numbers in words.
    values : array of shape (seeds,)
        The value for each seed, possibly infinite.
    low, high : float
        The bounds.
    effect : float, default 0
        How far beyond a bound the mean has to be to matter.
    ratio : bool, default False
        Whether values and bounds are log10 of ratios, and are shown as ratios.

    Notes
    -----
    It holds if the confidence interval of the mean lies between the bounds. It does not hold if the
    interval lies outside, or shows that the mean is inside by less than `effect`, if at all.
    """

    what: str
    numbers: str
    values: Float[Array, " seeds"]
    low: float = 0.0
    high: float = inf
    effect: float = 0.0
    ratio: bool = False

    @property
    def p_holds(self) -> float:
        """The significance level from which on it holds."""
        return p_value(self.values, self.low, self.high)

    @property
    def p_fails(self) -> float:
        """The significance level from which on it does not hold."""
        below = p_value(self.values, -inf, self.low + self.effect)
        return min(below, p_value(self.values, self.high - self.effect, inf))


def better(what: str, numbers: str, theirs: Any, ours: Any, times: float = 1.0) -> Comparison:
    """Whether `theirs` is larger than `ours`, by a factor on geometric average.

    Parameters
    ----------
    what, numbers : str
        As of Comparison.
    theirs, ours : array of shape (seeds,)
        Errors or costs, of which less is better.
    times : float, default 1
        The factor. With 1, any advantage counts unless it is shown to be below EFFECT.
    """
    effect = EFFECT if times == 1 else 0.0
    low = float(np.log10(times))
    return Comparison(what, numbers, log_ratio(theirs, ours), low, effect=effect, ratio=True)


def as_good(what: str, numbers: str, theirs: Any, ours: Any, times: float = AS_GOOD) -> Comparison:
    """Whether `ours` is at most so many times `theirs` on geometric average."""
    values = log_ratio(theirs, ours)
    return Comparison(what, numbers, values, -float(np.log10(times)), ratio=True)


def cheaper(what: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Comparison:
    """Whether a cost is less, on geometric average.

    Parameters
    ----------
    what : str
        As of Comparison.
    theirs, ours : Mapping
        Name of a method -> its costs, an array of shape (seeds,), inf where the target is never
        reached. Two infinite costs are equal.
    """
    (name, large), (own, small) = *theirs.items(), *ours.items()
    words = f"{own} {mean_cost(small)}, {name} {mean_cost(large)}"
    never = np.isinf(large) & np.isinf(small)
    values = np.where(never, 0.0, log_ratio(large, small))
    return Comparison(what, words, values, effect=EFFECT, ratio=True)


def mean_cost(costs: Any) -> str:
    """Mean and standard deviation, or the median where some seeds never reached the target."""
    never = int(np.isinf(costs).sum())
    if not never:
        return mean_std(costs)
    return f"{np.median(costs):.3g} in the median, {never} of {len(costs)} seeds never"


def median_region(values: Any, share: float = REGION) -> str:
    """The median and the quantiles of the inner share, as "5e+03 [4e+03, 7e+03]"."""
    low, high = region(values, share)
    return f"{np.median(values):.3g} [{low:.3g}, {high:.3g}]"


def log_ratio(larger: Any, smaller: Any) -> Float[Array, " seeds"]:
    """log10(larger/smaller) for each seed: infinite where one diverged, NaN where both did."""
    with np.errstate(all="ignore"):
        return np.log10(np.asarray(larger, float)) - np.log10(np.asarray(smaller, float))


def mean_std(values: Any) -> str:
    """Mean and standard deviation over the seeds, as "0.12 ± 0.03"; the median if some diverged."""
    values = np.asarray(values, float)
    diverged = np.count_nonzero(~np.isfinite(values))
    if diverged:
        return f"{np.median(values):.3g} in the median, {diverged} of {len(values)} diverged"
    spread = values.std(ddof=1) if len(values) > 1 else 0
    return f"{values.mean():.3g} ± {spread:.1g}"

"""Confidence intervals of a comparison over seeds, and what they decide.

A comparison has one value for each seed, paired: both methods have the problem and the draws of
that seed. Its true value is the mean over all seeds, and it holds if that lies between two bounds.
The interval is Student's for the mean. Where a value is infinite, because a run diverged, it is
that of order statistics for the median, which assumes nothing, and has no end on that side: a mean
with an infinite value is not below any bound.

The findings of a claim are judged together by Holm's step-down procedure: the probability that any
of them gets a wrong verdict is at most 1 - LEVEL. The interval of a finding has the level of its
own step, so that it decides exactly as the verdict says.

References
----------
Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
6, 1979. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach",
Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from scipy import special

from ..._types import Array, Float

LEVEL = 0.95
"""Joint confidence level of the findings of a claim."""


def interval(values: Float[Array, " seeds"], level: float = LEVEL) -> tuple[float, float]:
    """The confidence interval of the mean, or a one-sided one of the median if a value is infinite.

    Parameters
    ----------
    values : array of shape (seeds,)
        One value for each seed.
    level : float, default LEVEL
        Confidence level.

    Returns
    -------
    tuple of float
        Its ends; infinite for fewer than two values, or if one is NaN.
    """
    values = np.asarray(values, float)
    n = len(values)
    if n < 2 or np.isnan(values).any():
        return -np.inf, np.inf
    if np.isfinite(values).all():
        half = special.stdtrit(n - 1, (1 + level) / 2) * _standard_error(values)
        return float(values.mean() - half), float(values.mean() + half)
    # as many values are left out at each end as the level permits; with few seeds not even none
    ordered = np.sort(values)
    out = np.count_nonzero(2 * special.bdtr(np.arange((n + 1) // 2), n, 0.5) <= 1 - level) - 1
    if out < 0:
        return -np.inf, np.inf
    first = -np.inf if ordered[0] == -np.inf else float(ordered[out])
    last = np.inf if ordered[-1] == np.inf else float(ordered[n - 1 - out])
    return first, last


def p_value(values: Float[Array, " seeds"], low: float, high: float) -> float:
    """The least 1 - level at which `interval` lies between the bounds; 1 if it never does."""
    values = np.asarray(values, float)
    n = len(values)
    if n < 2 or np.isnan(values).any():
        return 1.0
    if not np.isfinite(values).all():
        if (low > -np.inf and values.min() == -np.inf) or (
            high < np.inf and values.max() == np.inf
        ):
            return 1.0
        below = np.count_nonzero(values <= low) if low > -np.inf else 0
        above = np.count_nonzero(values >= high) if high < np.inf else 0
        outside = max(below, above)
        return min(1.0, 2 * float(special.bdtr(outside, n, 0.5)))
    mean, error = float(values.mean()), _standard_error(values)
    distance = min(mean - low, high - mean)
    if distance <= 0:
        return 1.0
    return 2 * float(special.stdtr(n - 1, -distance / error)) if error else 0.0


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[float]:
    """The significance level of each test by Holm's procedure.

    The least of m p-values is tested at (1 - level)/m, the next at (1 - level)/(m - 1), and so on
    until one is larger than its level, which is the level of all that are left.
    """
    levels = [0.0] * len(p_values)
    passed, last = True, 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        if passed:
            last = (1 - level) / (len(p_values) - rank)
            passed = p_values[i] <= last
        levels[i] = last
    return levels


def region(values: Array, share: float) -> Array:
    """The quantiles between which the inner share of the seeds lies.

    Parameters
    ----------
    values : array of shape (seeds, ...)
        One value for each seed, possibly infinite.
    share : float
        The share of the seeds: 0.75 is between the quantiles of 12.5 and 87.5 %.

    Returns
    -------
    array of shape (2, ...)
        Both quantiles, interpolated between seeds; infinite where one of the two seeds is.
    """
    ordered = np.sort(np.asarray(values, float), axis=0)
    at = (len(ordered) - 1) * (1 - share) / 2
    i = int(at)
    ends = ordered[[i, -i - 1]]
    if at == i:
        return ends
    return (i + 1 - at) * ends + (at - i) * ordered[[i + 1, -i - 2]]


def _standard_error(values: Float[Array, " seeds"]) -> float:
    """Of the mean; 0 if all values are equal up to rounding."""
    error = float(values.std(ddof=1)) / sqrt(len(values))
    return error if error > 1e-14 * float(np.abs(values).max()) else 0.0

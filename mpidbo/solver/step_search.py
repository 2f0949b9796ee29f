"""The search for alpha: which pilots to run, and which to believe.

It knows pilots as numbers alone: `judge(alpha, iterations)` is the smaller the better, and infinite
where the pilot diverged.
"""

from collections.abc import Callable
from math import inf, isfinite
from typing import NamedTuple

Judge = Callable[[float, int], float]
"""(alpha, iterations) -> the judgement of a pilot."""

RATIOS = (8.0, 8.0**0.5, 8.0**0.25)
"""Of neighbouring values of alpha, in each round."""
SHARES = (0.008, 0.016, 0.032)
"""Of the run's iterations that the pilots of each round take."""
ABOVE = (2, 1, 1)
"""How many larger values than the best must have been tried; two at first, since phi need not be
convex, and may be large for an alpha in between.
"""
LAST = 0.08
"""Of the run's iterations that the winner takes in the end."""
MIN_ITERATIONS, MAX_ITERATIONS = 800, 2000
"""Shorter and longer runs count as such ones."""
MAX_EXTENSIONS, MAX_DIVERGED = 12, 6
"""Values beyond three of a round; and as long as all of them diverge."""
DIVISORS = (1, 4, 16, 64)
"""Of the winner, in the last pilots, as long as they diverge."""


class Trial(NamedTuple):
    """A pilot and its judgement."""

    alpha: float
    iterations: int
    value: float


class Found(NamedTuple):
    """The best alpha of the last round; its value is infinite where all pilots diverged."""

    alpha: float
    value: float
    trials: tuple[Trial, ...]
    ended: int = 0
    """Iterations of the pilots that the budget did not allow any more; 0 where it sufficed."""


def counted(iterations: int) -> int:
    """Return the iterations that a run counts as having: not too few, nor too many."""
    return min(max(iterations, MIN_ITERATIONS), MAX_ITERATIONS)


def lengths(iterations: int) -> list[int]:
    """Return the iterations of the pilots of each round, and of the last pilot."""
    return [round(share * counted(iterations)) for share in (*SHARES, LAST)]


def search(
    judge: Judge,
    confirm: Judge,
    first: float,
    iterations: int,
    affordable: Callable[[int], bool] = lambda length: True,
    settle: Callable[[float, int], None] = lambda alpha, length: None,
) -> Found:
    """Return the alpha whose pilots fall fastest.

    Three rounds, each of longer pilots and closer values than the one before: beginning with alpha,
    the neighbours of the best are tried, alpha * ratio and alpha / ratio, until none is better. The
    winner is then run for longer; where it diverges a quarter of it takes its place, then less.

    Parameters
    ----------
    judge : callable
        Runs a pilot.
    confirm : callable
        The same for the last pilot, at which it looks more closely.
    first : float
        Where the search begins, positive.
    iterations : int
        Of the run.
    affordable : callable, optional
        Whether the budget allows a pilot of so many iterations. Where it does not, the best so far
        is run for longer at once; where all of a round diverged it continues nevertheless.
    settle : callable, optional
        Called with the winner of each round and the iterations of its pilots.

    Returns
    -------
    Found
    """
    alpha, value, trials, ended = first, inf, list[Trial](), 0
    *rounds, last = lengths(iterations)
    for length, ratio, above in zip(rounds, RATIOS, ABOVE, strict=True):
        tried: dict[int, float] = {}
        place: int | None = 0
        while place is not None and not ended:
            diverged = bool(tried) and min(tried.values()) == inf
            if diverged or affordable(length):
                tried[place] = judge(alpha * ratio**place, length)
                trials.append(Trial(alpha * ratio**place, length, tried[place]))
                place = _next(tried, above)
            else:
                ended = length
        if tried:
            best = _best(tried)
            alpha, value = alpha * ratio**best, tried[best]
        if tried and isfinite(value):
            settle(alpha, length)
        if ended:
            break
        if not isfinite(value):
            return Found(alpha, inf, tuple(trials))
    winner = alpha
    for divisor in DIVISORS:
        alpha = winner / divisor
        value = confirm(alpha, last)
        trials.append(Trial(alpha, last, value))
        if isfinite(value):
            break
    return Found(alpha, value, tuple(trials), ended)


def _next(tried: dict[int, float], above: int) -> int | None:
    """The place to try next: beside the best; None where enough of its neighbours have been."""
    best = _best(tried)
    most = 3 + (MAX_DIVERGED if tried[best] == inf else MAX_EXTENSIONS)
    beside = [*range(best + 1, best + above + 1), best - 1]
    return next((place for place in beside if place not in tried and len(tried) < most), None)


def _best(tried: dict[int, float]) -> int:
    """The place of the smallest value; of equal ones the largest alpha.

    Where all diverged it is the smallest one.
    """
    if all(value == inf for value in tried.values()):
        return min(tried)
    return min(tried, key=lambda i: (tried[i], -i))

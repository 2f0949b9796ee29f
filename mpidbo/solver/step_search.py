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
LAST = 0.08
"""Of the run's iterations that the winner takes in the end."""
MIN_ITERATIONS, MAX_ITERATIONS = 800, 2000
"""Shorter and longer runs count as such ones."""
MAX_EXTENSIONS, MAX_DIVERGED = 12, 6
"""Values beyond the first three of a round; and as long as all of them diverge."""


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


def counted(iterations: int) -> int:
    """Return the iterations that a run counts as having: not too few, nor too many."""
    return min(max(iterations, MIN_ITERATIONS), MAX_ITERATIONS)


def lengths(iterations: int) -> list[int]:
    """Return the iterations of the pilots of each round, and of the last pilot."""
    return [round(share * counted(iterations)) for share in (*SHARES, LAST)]


def search(judge: Judge, confirm: Judge, first: float, iterations: int) -> Found:
    """Return the alpha whose pilots fall fastest.

    Three rounds, each of longer pilots and closer values than the one before: alpha, alpha / ratio
    and alpha * ratio are tried, and the best of them is kept for the next round. Where it is at an
    edge the range is extended until it is not. The winner is then run for longer; where it
    diverges the next smaller value takes its place.

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

    Returns
    -------
    Found
    """
    alpha, value, trials = first, inf, list[Trial]()
    *rounds, last = lengths(iterations)
    for length, ratio in zip(rounds, RATIOS, strict=True):
        tried = {i: judge(alpha * ratio**i, length) for i in (0, 1, -1)}
        for i in range(MAX_EXTENSIONS):
            best = _best(tried)
            step = {max(tried): 1, min(tried): -1}.get(best, 0)
            if not step or (i >= MAX_DIVERGED and tried[best] == inf):
                break
            tried[best + step] = judge(alpha * ratio ** (best + step), length)
        trials += [Trial(alpha * ratio**i, length, found) for i, found in tried.items()]
        best = _best(tried)
        alpha, value = alpha * ratio**best, tried[best]
        if not isfinite(value):
            return Found(alpha, inf, tuple(trials))
    for i in range(MAX_EXTENSIONS):
        alpha = alpha / RATIOS[-1] if i else alpha
        value = confirm(alpha, last)
        trials.append(Trial(alpha, last, value))
        if isfinite(value):
            break
    return Found(alpha, value, tuple(trials))


def _best(tried: dict[int, float]) -> int:
    """The place of the smallest value; of equal ones the largest alpha.

    Where all diverged it is the smallest one.
    """
    if all(value == inf for value in tried.values()):
        return min(tried)
    return min(tried, key=lambda i: (tried[i], -i))

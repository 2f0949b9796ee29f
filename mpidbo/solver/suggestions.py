"""Advice at the end of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._types import Array, Float

HARDLY = 1e-3
"""x has hardly moved where the distance is less than this part of that of y."""
FIRST_ITERATIONS = 10
"""Within them nothing is known: with some methods x waits for y before it begins to move."""
MIN_ROWS = 4
"""Evaluations from which growth can be recognized."""
MUCH = 20
"""A loss grows without bound if it is this many times as large as in the first half of the run, or
as at the start and changes as fast as ever."""
MUCH_FARTHER = 100
"""The same of a distance, which at first may be proportional to a power of the iteration."""
AS_FAST = 0.9
"""A loss changes as fast as ever if its slope in the second half of the run is this part of that in
the first. Where it has a minimum, descent becomes slower."""

SIGN_OF_G = "check the sign of g, and reduce steps.beta"
SIGN_OF_F = "check the signs of f and g, and reduce steps.alpha"
LOSSES = {"lower_loss": SIGN_OF_G, "upper_loss": SIGN_OF_F}
DISTANCES = {"moved_y": SIGN_OF_G, "moved_x": SIGN_OF_F}
"""Columns that may grow without bound, and what to do; distances where there are no losses."""


def advice(history: Mapping[str, Sequence[float] | np.ndarray], steps: Mapping[str, Any]) -> str:
    """Return a line of advice where a loss grows without bound, or where x has hardly moved.

    Parameters
    ----------
    history : mapping of str to sequence
        The columns of a run's history.
    steps : mapping
        Its step sizes; with an alpha of 0 x is meant to stay where it is.

    Returns
    -------
    str
        "" where there is nothing to say.
    """
    last = {name: float(values[-1]) for name, values in history.items() if len(values)}
    if last.get("iteration", 0) < FIRST_ITERATIONS:
        return ""
    return _growth(history) or _hardly_moved(last, steps)


def _growth(history: Mapping[str, Sequence[float] | np.ndarray]) -> str:
    """What to check where a loss grows without bound, or a distance where there are no losses."""
    is_lossless = not LOSSES.keys() & history.keys()
    for name, remedy in (DISTANCES if is_lossless else LOSSES).items():
        values = np.asarray(history.get(name, ()), np.float64)
        k = np.asarray(history["iteration"])[: len(values)]
        finite = np.isfinite(values)
        k, values = k[finite], values[finite]
        if len(k) < MIN_ROWS:
            continue
        middle = int(np.searchsorted(k, k[-1] / 2))
        grows = _multiplies(values, middle, MUCH_FARTHER if is_lossless else MUCH)
        if grows or (not is_lossless and _stays_as_fast(k, values, middle)):
            how = "grows" if values[-1] > values[0] else "falls"
            at = [f"{values[i]:.3g} at iteration {k[i]}" for i in (0, middle, -1)]
            return f"{name} {how} without bound ({', '.join(at)}): {remedy}"
    return ""


def _multiplies(values: Float[Array, " rows"], middle: int, much: float) -> bool:
    """Whether the last of the values is many times as large as all of the first half."""
    sizes = np.abs(values)
    return bool(sizes[-1] == sizes.max() >= much * sizes[: middle + 1].max() > 0)


def _stays_as_fast(k: Float[Array, " rows"], values: Float[Array, " rows"], middle: int) -> bool:
    """Whether values are many times as large as at the start, and change as fast as ever."""
    if not abs(values[-1]) >= MUCH * abs(values[0]) > 0:
        return False
    steps = np.diff(values[middle:]) * np.sign(values[-1] - values[0])
    early = (values[middle] - values[0]) / (k[middle] - k[0])
    late = (values[-1] - values[middle]) / (k[-1] - k[middle])
    return bool((steps > 0).all() and late / early >= AS_FAST)


def _hardly_moved(last: Mapping[str, float], steps: Mapping[str, Any]) -> str:
    """What to do where x has moved less than a thousandth of what y has.

    The factor by which to raise alpha is the ratio of the two distances, in one digit: while x
    hardly moves, its distance is proportional to alpha.
    """
    if not {"moved_x", "moved_y"} <= last.keys():
        return ""  # the history of an earlier version
    x, y = last["moved_x"], last["moved_y"]
    if steps.get("alpha") == 0 or not x < HARDLY * y:
        return ""
    if x > 0:
        factor = float(f"{y / x:.0e}")
        return (
            f"x has hardly moved (|x - x0| = {x:.2g}, |y - y0| = {y:.2g}): "
            f"raise steps.alpha, for example by a factor of {factor:g}"
        )
    if last.get("hypergradient_estimate") == 0:
        return ""  # no step size would move it
    return f"x has not moved at all (|y - y0| = {y:.2g}): raise steps.alpha"

"""A minimiser over a convex set of which only the projection is known, for metrics."""

from collections.abc import Callable

import numpy as np

from .._types import Array, Float

Vectors = Callable[[Float[Array, " d"]], Float[Array, " d"]]

TOLERANCE = 1e-10
"""Of a step, relative to 1 + |y|."""
MAX_STEPS = 5000
MAX_DOUBLINGS = 60
"""Of the curvature in one step, until the step is short enough."""


def projected_minimum(
    gradient: Vectors, project: Vectors, start: Float[Array, " d"], dtype: np.dtype
) -> Float[Array, " d"]:
    """Return the minimiser of a convex function over a convex set.

    Parameters
    ----------
    gradient : callable
        The gradient at a point.
    project : callable
        The nearest point of the set.
    start : array of shape (d,)
        Where the search starts.
    dtype : data type
        In which the gradient is computed, and which limits the tolerance.

    Returns
    -------
    array of shape (d,)
        NaN where no step became short enough.

    Notes
    -----
    The accelerated projected gradient method, whose curvature is found by doubling, and which
    restarts where the momentum points uphill.

    References
    ----------
    Beck, Teboulle, SIAM J. Imaging Sciences 2, 2009.
    O'Donoghue, Candes, Foundations of Computational Mathematics 15, 2015 (the restart).
    """
    tolerance = max(TOLERANCE, 4 * float(np.finfo(dtype).eps))
    y = ahead = project(start)
    slope = gradient(ahead)
    curvature = float(np.linalg.norm(slope)) / (1 + float(np.linalg.norm(y)))
    momentum = 1.0
    for _ in range(MAX_STEPS):
        if curvature == 0:  # only where the gradient is zero
            return y
        new, curvature = _step(gradient, project, ahead, slope, 0.7 * curvature)
        move = float(np.linalg.norm(new - ahead))
        if not np.isfinite(move):
            break
        if move <= tolerance * (1 + float(np.linalg.norm(new))):
            return new
        if (ahead - new) @ (new - y) > 0:
            momentum = 1.0
        later = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / later * (new - y)
        y, momentum, slope = new, later, gradient(ahead)
    return np.full_like(start, np.nan)


def _step(
    gradient: Vectors,
    project: Vectors,
    y: Float[Array, " d"],
    slope: Float[Array, " d"],
    curvature: float,
) -> tuple[Float[Array, " d"], float]:
    """A projected gradient step, and a curvature that the function does not exceed along it."""
    for _ in range(MAX_DOUBLINGS):
        new = project(y - slope / curvature)
        move = new - y
        if not (gradient(new) - slope) @ move > curvature * (move @ move):
            break
        curvature *= 2
    return new, curvature

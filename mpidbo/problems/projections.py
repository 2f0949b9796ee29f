"""Projections onto convex sets, for `project_x` and `project_y`."""

import numpy as np

from .._types import Array, Float


def box(
    x: Float[Array, "*shape"], low: float = -np.inf, high: float = np.inf
) -> Float[Array, "*shape"]:
    """Return the nearest point whose entries are all between `low` and `high`.

    Parameters
    ----------
    x : array of any shape
        The point; it is left as it is.
    low, high : float, default unbounded
        Bounds of every entry.

    Returns
    -------
    array of the shape of x
        A new array.
    """
    return x.clip(low, high)


def ball(
    x: Float[Array, " p"], radius: float = 1.0, center: float | Float[Array, " p"] = 0.0
) -> Float[Array, " p"]:
    """Return the nearest point of a ball.

    Parameters
    ----------
    x : (p,) array
        The point; it is left as it is.
    radius : float, default 1.0
        The radius of the ball.
    center : float or (p,) array, default 0.0
        Its center.

    Returns
    -------
    (p,) array
        A new array.
    """
    move = x - center
    # times 1 within the ball
    return (center + move * (radius / np.maximum(np.sqrt(move @ move), radius))).astype(x.dtype)


def simplex(x: Float[Array, " p"]) -> Float[Array, " p"]:
    """Return the nearest point without negative entries whose entries sum to 1.

    Parameters
    ----------
    x : (p,) array
        The point; it is left as it is.

    Returns
    -------
    (p,) array
        A new array.

    Notes
    -----
    The nearest point is max(x - t, 0), with the number t found by sorting.

    References
    ----------
    Held, Wolfe, Crowder, Validation of subgradient optimization, Mathematical Programming 6, 1974.
    """
    descending = np.sort(x)[::-1]
    excess = (descending.cumsum() - 1) / np.arange(1, len(x) + 1, like=x)
    # The largest number of entries that stay positive; `excess` is t for each number of them.
    support = int((descending > excess).sum())
    return (x - excess[support - 1]).clip(0).astype(x.dtype)

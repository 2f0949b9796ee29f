"""The nearest points of convex sets, for `project_x`."""

from typing import Any

import numpy as np


def box(x: Any, low: float = -np.inf, high: float = np.inf) -> Any:
    """The nearest point with every entry between `low` and `high`, of the shape of x; a new array."""
    return x.clip(low, high)


def simplex(x: Any) -> Any:
    """The nearest point with no negative entry and sum 1, of the shape (p,) of x; a new array.

    By sorting (Held, Wolfe, Crowder, Mathematical Programming 6, 1974).
    """
    descending = np.sort(x)[::-1]
    excess = (descending.cumsum() - 1) / np.arange(1, len(x) + 1, like=x)
    support = int((descending > excess).sum())
    return (x - excess[support - 1]).clip(0).astype(x.dtype)

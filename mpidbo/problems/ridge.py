"""A ridge at the lower level: g(x, y) + r |y|^2 / 2 in place of g."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._types import Array, Float
from ..parallel import Host

if TYPE_CHECKING:
    from .oracle import Sample

Rows = Mapping[str, Callable[..., Array]]
"""The function from a sample and rows to rows of each oracle."""


def with_ridge(rows: Rows, r: float, backend: Host) -> dict[str, Callable[..., Array]]:
    """Return the oracles of g(x, y) + r |y|^2 / 2.

    Parameters
    ----------
    rows : mapping of str to callable
        Those of g: the function from a sample and rows to rows of each oracle.
    r : float
        The weight of the ridge.
    backend : Host
        Where the rows are.

    Returns
    -------
    dict
        The same with g_y + r y, and g_yy v + r v; the ridge has no part in f, g_x and g_xy.
    """
    g_y, g_yy = rows["g_y"], rows["g_yy"]

    def ridged_g_y(sample: "Sample", x: Array, y: Float[Array, "m q"]) -> Float[Array, "m q"]:
        return g_y(sample, x, y) + r * _of_active(sample, y, backend)

    def ridged_g_yy(
        sample: "Sample", x: Array, y: Array, v: Float[Array, "m q"]
    ) -> Float[Array, "m q"]:
        return g_yy(sample, x, y, v) + r * _of_active(sample, v, backend)

    return {**rows, "g_y": ridged_g_y, "g_yy": ridged_g_yy}


def _of_active(sample: "Sample", rows: Float[Array, "m d"], backend: Host) -> Float[Array, "m d"]:
    """The rows, zero for agents that are not active."""
    if sample.active is None:
        return rows
    mask = np.asarray(sample.active)[:, None].astype(rows.dtype)
    return rows * backend.rows(backend.array(mask))

"""Estimates of the constants L and mu_g, for methods whose configuration leaves them out."""

from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from ..parallel import host, raise_on_all_ranks
from ..problems import Oracle
from .base import Method

POWER_ITERATIONS = 30
SAFETY_FACTOR = 1.1
"""Of L over the estimate, since power iterations approach the largest eigenvalue from below."""
REMEDY = "give L, the largest curvature of g in y"
CONDITION = 100
"""L / mu_g where mu_g is left out."""


def with_estimated_constants(
    method: Method, oracle: Oracle, x: Float[Array, "m p"], y: Float[Array, "m q"]
) -> Method:
    """Return the method with estimates for `L` and `mu_g` where they are fields that are None.

    Collective, and the same on every rank. L is 1.1 times the largest eigenvalue over agents that
    30 power iterations of g_yy find, full batch, at the start, with the largest `lower_ridge`; mu_g
    is L/100.

    Parameters
    ----------
    method : Method
    oracle : Oracle
        The problem's oracles; the calls made here are not counted.
    x : array of shape (m, p)
        The start of x, a row for each agent of this rank.
    y : array of shape (m, q)
        The start of y.

    Returns
    -------
    Method
        The method itself where nothing is missing.

    Raises
    ------
    UserError
        Where g_yy vanishes at the start or is not finite.
    """
    constants = [field.name for field in fields(method) if field.name in ("L", "mu_g")]
    missing = [name for name in constants if getattr(method, name) is None]
    if not missing:
        return method
    L = getattr(method, "L", None)
    if L is None:
        ridge = 0.0 if method.lower_ridge is None else method.lower_ridge.largest
        L = SAFETY_FACTOR * (largest_curvature(oracle, x, y, "method.L", REMEDY).value + ridge)
    estimates: dict[str, Any] = {"L": L, "mu_g": L / CONDITION}
    return replace(method, **{name: estimates[name] for name in missing})


class Curvature(NamedTuple):
    """The largest eigenvalue over agents of g_yy at a point, and what it cost."""

    value: float
    calls: int
    """Calls of oracles, total over agents."""


def largest_curvature(
    oracle: Oracle,
    x: Float[Array, "m p"],
    y: Float[Array, "m q"],
    where: str,
    remedy: str,
) -> Curvature:
    """Estimate the largest eigenvalue over agents of g_yy at (x, y), full batch; collective.

    It takes 30 power iterations; where an agent's problem does not define g_yy, with differences of
    g_y.

    Parameters
    ----------
    oracle : Oracle
        The problem's oracles; the calls made here are not counted.
    x : array of shape (m, p)
        A row for each agent of this rank.
    y : array of shape (m, q)
    where, remedy : str
        How an error begins and ends.

    Raises
    ------
    UserError
        Where g_yy vanishes at the start or is not finite.
    """
    found = curvature(oracle, x, y)
    if not 0 < found.value < np.inf:
        error = UserError(
            f"{where}: g_yy at the start gives {found.value:g}, no curvature to scale by; {remedy}"
        )
        raise_on_all_ranks(error)  # every rank has the same number
    return found


def curvature(
    oracle: Oracle,
    x: Float[Array, "m p"],
    y: Float[Array, "m q"],
    iterations: int = POWER_ITERATIONS,
) -> Curvature:
    """As `largest_curvature`, at a point where it may vanish or not be finite; collective."""
    o = oracle.twin().full()
    m, q = y.shape
    lacking = [getattr(problem, "g_yy", None) is None for problem in oracle.problems]
    by_differences = bool(oracle.agents.allreduce_sum(np.array([any(lacking)], int))[0])
    reach = np.sqrt(np.finfo(y.dtype).eps) * (1 + _norms(host(y))[:, None]).astype(y.dtype)
    start = np.random.default_rng(0).standard_normal((1, q)).astype(y.dtype)
    v = np.repeat(start, m, axis=0)
    at_y = host(o.g_y(x, y)) if by_differences else None
    for _ in range(iterations):
        sizes = _norms(v)
        v = v / np.where(sizes > 0, sizes, 1)[:, None].astype(v.dtype)
        if at_y is None:
            v = host(o.g_yy(x, y, v))
        else:
            v = (host(o.g_y(x, y + reach * v)) - at_y) / reach
    largest = float(oracle.agents.gather(_norms(v)).max())
    return Curvature(largest, (iterations + (at_y is not None)) * oracle.agents.n)


def _norms(rows: Float[Array, "m q"]) -> Float[Array, " m"]:
    """Return the norm of each row, in float64."""
    return np.sqrt([float(row @ row) for row in rows])

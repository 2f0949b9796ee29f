"""The lower level solved at a common x, for metrics that need y*(x)."""

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import numpy as np

from .._types import Array, Float
from .averages import Ask, Averaged
from .projected_descent import Vectors, projected_minimum


class Accuracy(NamedTuple):
    """Tolerances of the search for a minimiser."""

    y: float
    """Of y: what the next step of Newton's method would be about, relative to 1 + |y|."""
    step: float
    """Relative, of the residual of a Newton step."""
    calls: float = inf
    """Of an agent's oracles, after which the search is given up."""


EXACT = Accuracy(1e-7, 1e-4)
ROUGH = Accuracy(1e-3, 1e-2, 500)
"""At about half of the calls; where more than 500 are needed x is mostly far off."""
ROUNDING = 1e-3
"""Relative to 1 + |y|: a shorter step that does not halve the gradient is at its rounding errors.
It is far above the tolerance, since these errors grow with the condition of g."""
MAX_STEPS = 30
MAX_CG_STEPS = 1000
TRUST_REGION_GAIN = 1e-3
"""What the trust-region method reduces the gradient by before Newton's method takes over again."""


class LowerSolution(NamedTuple):
    """A minimiser y of the network's g(x, .).

    Parameters
    ----------
    y : array of shape (q,)
        In float64; NaN where none was found.
    calls : int
        Calls of oracles, and of g, that it took, total over agents.
    """

    y: Float[Array, " q"]
    calls: int


def solve_lower_level(
    averaged: Averaged,
    x: Float[Array, " p"],
    y: Float[Array, " q"],
    *,
    second_order: bool = True,
    accuracy: Accuracy = EXACT,
) -> LowerSolution:
    """Return argmin g(x, .) of the network, over y's set if it has one; collective.

    It is a function of x and y alone, the same for any number of ranks.

    Parameters
    ----------
    averaged : Averaged
    x : array of shape (p,)
    y : array of shape (q,)
        Where it starts: the nearer to the minimiser, the cheaper.
    second_order : bool, default True
        Whether g_yy may be called, where the problem defines it.
    accuracy : Accuracy, optional
        Of a minimiser over all y; `EXACT` or `ROUGH`.

    Returns
    -------
    LowerSolution

    Notes
    -----
    Newton's equations are solved by conjugate gradients, with g_yy, or where it is not to be called
    with differences of g_y. A trust-region method takes over where g_yy is not positive definite
    or a step does not halve the gradient. The minimiser is exact to about 1e-7 relative
    to 1 + |y|, with `ROUGH` to 1e-3, or to the rounding errors of g_y. Over a set it is found by
    `projected_minimum`.
    """
    second_order = averaged.defines("g_yy") and second_order

    def work(ask: Ask) -> Array:
        dtype = averaged.oracle.dtype
        search = _Search(ask, np.asarray(x, np.float64), second_order, accuracy, dtype)
        found = search.minimiser(np.asarray(y, np.float64), averaged.project_y())
        return np.append(found, search.asked)

    *found, asked = averaged.on_root(work, averaged.q + 1)
    return LowerSolution(np.array(found), int(asked) * averaged.agents.n)


class _Search:
    """The search of a minimiser of g(x, .), on rank 0."""

    def __init__(
        self,
        ask: Ask,
        x: Float[Array, " p"],
        second_order: bool,
        accuracy: Accuracy,
        dtype: np.dtype,
    ) -> None:
        self.ask, self.x, self.second_order, self.accuracy = ask, x, second_order, accuracy
        self.dtype, self.difference = dtype, np.sqrt(np.finfo(dtype).eps)
        self.asked = 0

    def minimiser(self, y: Float[Array, " q"], project: Vectors | None) -> Float[Array, " q"]:
        """Return the minimiser, or NaN."""
        if project is not None:
            return projected_minimum(self.g_y, project, y, self.dtype)
        try:
            return self.newton(y)
        except (ValueError, np.linalg.LinAlgError):  # scipy's, where numbers overflow
            return np.full_like(y, np.nan)

    def newton(self, y: Float[Array, " q"]) -> Float[Array, " q"]:
        gradient = self.g_y(y)
        for _ in range(MAX_STEPS):
            size = float(np.linalg.norm(gradient))
            if size == 0:
                return y
            step = self.step(y, gradient)
            if step is not None:
                length = np.linalg.norm(step) / (1 + np.linalg.norm(y))
                ahead = self.g_y(y - step)
                gain = np.linalg.norm(ahead) / size
                if gain <= 0.5:
                    y, gradient = y - step, ahead
                    if length * gain <= self.accuracy.y:
                        return y
                    continue
                if length <= ROUNDING:
                    return y - step if gain < 1 else y
            y = self.trust_region(y, size)
            gradient = self.g_y(y)
        return np.full_like(y, np.nan)

    def step(
        self, y: Float[Array, " q"], gradient: Float[Array, " q"]
    ) -> Float[Array, " q"] | None:
        """Return Newton's step, None where g_yy is not positive definite."""
        # Here, so that rank 0 alone imports scipy's solvers.
        from scipy.sparse.linalg import LinearOperator, cg

        product = self.product(y, gradient)

        def positive(v: Float[Array, " q"]) -> Float[Array, " q"]:
            Hv = product(v)
            if not float(v @ Hv) > 0:
                raise np.linalg.LinAlgError("g_yy is not positive definite")
            return Hv

        H = LinearOperator((len(y), len(y)), matvec=positive, dtype=np.float64)
        try:
            return cg(H, gradient, rtol=self.accuracy.step, maxiter=MAX_CG_STEPS)[0]
        except np.linalg.LinAlgError:
            return None

    def trust_region(self, y: Float[Array, " q"], size: float) -> Float[Array, " q"]:
        """Return a point with a gradient much shorter than `size`. Raises LinAlgError."""
        from scipy.optimize import minimize

        found = minimize(
            lambda y: float(self.count("g", y)),
            y,
            jac=self.g_y,
            hessp=lambda y, v: self.product(y, self.g_y(y))(v),
            method="trust-ncg",
            options={"gtol": TRUST_REGION_GAIN * size, "maxiter": 200},
        )
        if not found.success:
            raise np.linalg.LinAlgError("g has no minimum near this point")
        return np.asarray(found.x)

    def product(
        self, y: Float[Array, " q"], gradient: Float[Array, " q"]
    ) -> Callable[[Float[Array, " q"]], Float[Array, " q"]]:
        """Return v -> g_yy v at y, where g_y is `gradient`."""
        if self.second_order:
            return lambda v: self.count("g_yy", y, v)
        reach = self.difference * (1 + np.linalg.norm(y))

        def differences(v: Float[Array, " q"]) -> Float[Array, " q"]:
            d = reach / max(np.linalg.norm(v), np.finfo(float).tiny)
            return (self.g_y(y + d * v) - gradient) / d

        return differences

    def g_y(self, y: Float[Array, " q"]) -> Float[Array, " q"]:
        return self.count("g_y", y)

    def count(self, name: str, *point: Float[Array, " q"]) -> Array:
        if self.asked >= self.accuracy.calls:
            raise np.linalg.LinAlgError("too many calls")
        self.asked += 1
        return np.asarray(self.ask(name, self.x, *point), np.float64)

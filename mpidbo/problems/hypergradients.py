"""grad Phi and the Moreau envelope of the network, to many digits, for metrics on request."""

import numpy as np

from .._types import Array, Float
from .averages import Ask, Averaged
from .projected_descent import projected_minimum

REFINEMENTS = 2
"""Newton steps after the trust-region method, which stops with half of y's digits: there g no
longer decreases in floating point."""


def hypergradient(
    averaged: Averaged, x: Float[Array, " p"], y: Float[Array, " q"], *, tol: float = 1e-12
) -> Float[Array, " p"]:
    """Return grad Phi(x) = f_x - g_xy z* at y*(x), with g_yy z* = f_y; collective.

    Parameters
    ----------
    averaged : Averaged
    x : array of shape (p,)
    y : array of shape (q,)
        Where Newton's method for y*(x) starts.
    tol : float, default 1e-12
        Of the gradient of g in y, and relative of conjugate gradients for z*.

    Returns
    -------
    array of shape (p,)
        NaN from the first negative curvature on, with a warning, where g_yy is not positive
        definite at the end of Newton's method.
    """
    negative: list[float] = []

    def work(ask: Ask) -> Array:
        # Here, so that rank 0 alone imports scipy's solvers.
        from scipy.optimize import minimize
        from scipy.sparse.linalg import LinearOperator, cg

        x64 = np.asarray(x, np.float64)
        best = minimize(
            lambda y: float(ask("g", x64, y)),
            np.asarray(y, np.float64),
            jac=lambda y: np.asarray(ask("g_y", x64, y), np.float64),
            hessp=lambda y, v: np.asarray(ask("g_yy", x64, y, v), np.float64),
            method="trust-ncg",
            options={"gtol": tol, "maxiter": 200},
        )
        y_star = best.x

        def product(v: Array) -> Array:
            Hv = np.asarray(ask("g_yy", x64, y_star, v), np.float64)
            if float(v @ Hv) < 0:
                negative.append(float(v @ Hv) / float(v @ v))
                raise np.linalg.LinAlgError("g_yy is not positive definite")
            return Hv

        H = LinearOperator((averaged.q, averaged.q), matvec=product, dtype=np.float64)
        # In exact arithmetic q steps are enough; rounding needs more of them.
        max_steps = 10 * averaged.q + 100
        for _ in range(REFINEMENTS):
            g_y = np.asarray(ask("g_y", x64, y_star), np.float64)
            y_star = y_star - cg(H, g_y, rtol=1e-8, maxiter=max_steps)[0]
        f_y = np.asarray(ask("f_y", x64, y_star), np.float64)
        z, _ = cg(H, f_y, rtol=tol, maxiter=max_steps)
        return ask("f_x", x64, y_star) - ask("g_xy", x64, y_star, z)

    found = averaged.on_root(work, averaged.p)
    if negative:
        averaged.warn_once(
            "hypergradient_norm",
            f"hypergradient_norm: g_yy has the curvature {negative[0]:.3g} where Newton's method "
            "for y* ends, so that there is no hypergradient and it is nan; it needs a lower loss "
            "that is strongly convex in y",
        )
    return found


def envelope(
    averaged: Averaged,
    x: Float[Array, " p"],
    y: Float[Array, " q"],
    t: Float[Array, " q"],
    lam: float,
    *,
    tol: float = 1e-8,
) -> float:
    """Return the Moreau envelope V(x, y) = min_t g(x, t) + |t - y|^2 / (2 lam); collective.

    Where y is to stay in a set, so is t.

    Parameters
    ----------
    averaged : Averaged
    x : array of shape (p,)
    y : array of shape (q,)
    t : array of shape (q,)
        Where the minimisation over t starts.
    lam : float
        The parameter of the envelope; infinite for min_t g(x, t).
    tol : float, default 1e-8
        Of the gradient in t.
    """
    project, dtype = averaged.project_y(), averaged.oracle.dtype

    def work(ask: Ask) -> Array:
        from scipy.optimize import minimize

        x64, y64, t64 = (np.asarray(part, np.float64) for part in (x, y, t))

        def value(t: Float[Array, " q"]) -> float:
            return float(ask("g", x64, t)) + float((t - y64) @ (t - y64)) / (2 * lam)

        def slope(t: Float[Array, " q"]) -> Float[Array, " q"]:
            return np.asarray(ask("g_y", x64, t), np.float64) + (t - y64) / lam

        if project is not None:
            return np.array([value(projected_minimum(slope, project, t64, dtype))])
        best = minimize(
            value,
            t64,
            jac=slope,
            method="L-BFGS-B",
            # With ftol = 0 the gradient alone ends it, not a small decrease of the value.
            options={"gtol": tol, "ftol": 0, "maxiter": 10000, "maxfun": 100000},
        )
        return np.array([best.fun])

    return float(averaged.on_root(work, 1)[0])

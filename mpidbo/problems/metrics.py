"""The whole network's f and g at one common point, full batch, for exact figures of merit.

Solvers of scipy run on rank 0, which alone imports them, and ask for averages over the agents; the other ranks serve until it is done.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from ..parallel.agents import Agents
from ..parallel.backend import host
from ..parallel.collectives import bcast
from .oracle import Oracle

Array = Any
ASKS = ("f_x", "f_y", "g_x", "g_y", "g_yy", "g_xy", "g")
DONE = len(ASKS)
REFINEMENTS = 2


ON_REQUEST = {
    "hypergradient_norm": ("f_x", "f_y", "g", "g_y", "g_yy", "g_xy"),
    "curvature": ("g_yy",),
    "refined_residual": ("g", "g_y"),
}
"""Figures that cost more than an evaluation: `run.metrics` or a stop rule asks for them; the oracles that they need."""


class Averaged:
    """Averages over all agents of the oracles at common (x, y)."""

    def __init__(self, oracle: Oracle, agents: Agents) -> None:
        self.oracle, self.agents = oracle.full(), agents
        self.p, self.q = oracle.dims
        self.warned = False

    def __call__(self, name: str, x: Array, y: Array, v: Array | None = None) -> Array:
        """The average of one oracle; collective."""
        if name == "g":
            return self.agents.mean(self.oracle.losses("g", x, y))
        m = self.agents.m
        rows = [np.repeat(np.asarray(a, self.oracle.dtype)[None], m, axis=0) for a in (x, y, v) if a is not None]
        return self.agents.mean(host(getattr(self.oracle, name)(*rows)))

    def on_root(self, work: Callable[[Callable[..., Array]], Array], size: int) -> Array:
        """What `work(ask)` returns on rank 0, an array of `size` floats, on every rank; `ask(name, x, y, v)` is an average.

        NaN where the solver meets numbers that it cannot go on with.
        """
        comm = self.agents.comm
        result = np.full(size, np.nan)
        if comm is None or comm.rank == 0:
            with suppress(ValueError, np.linalg.LinAlgError):
                result[:] = work(self if comm is None else self._ask)
        if comm is None:
            return result
        if comm.rank == 0:
            bcast(comm, np.array([DONE]))
        else:
            self._serve()
        bcast(comm, result)
        return result

    def _ask(self, name: str, x: Array, y: Array, v: Array | None = None) -> Array:
        comm = self.agents.comm
        bcast(comm, np.array([ASKS.index(name)]))
        point = np.concatenate([x, y, np.zeros(self.q) if v is None else v]).astype(np.float64)
        bcast(comm, point)
        return self(name, x, y, v)

    def _serve(self) -> None:
        comm, code, point = self.agents.comm, np.empty(1, np.int64), np.empty(self.p + 2 * self.q)
        while True:
            bcast(comm, code)
            if code[0] == DONE:
                return
            bcast(comm, point)
            x, y, v = np.split(point, [self.p, self.p + self.q])
            name = ASKS[code[0]]
            self(name, x, y, v if name in ("g_yy", "g_xy") else None)

    def hypergradient(self, x: Array, y: Array, *, tol: float = 1e-12) -> Array:
        """grad Phi(x), shape (p,): y*(x) by Newton's method from y, then z* by conjugate gradients; NaN, from the first negative
        curvature on and with a warning, where g_yy is not positive definite there."""
        negative: list[float] = []

        def work(ask: Callable[..., Array]) -> Array:
            from scipy.optimize import minimize
            from scipy.sparse.linalg import LinearOperator, cg
            x64 = np.asarray(x, np.float64)
            best = minimize(lambda y: float(ask("g", x64, y)), np.asarray(y, np.float64),
                            jac=lambda y: np.asarray(ask("g_y", x64, y), np.float64),
                            hessp=lambda y, v: np.asarray(ask("g_yy", x64, y, v), np.float64),
                            method="trust-ncg", options={"gtol": tol, "maxiter": 200})
            y_star = best.x

            def product(v: Array) -> Array:
                Hv = np.asarray(ask("g_yy", x64, y_star, v), np.float64)
                if float(v @ Hv) < 0:
                    negative.append(float(v @ Hv) / float(v @ v))
                    raise np.linalg.LinAlgError("g_yy is not positive definite")
                return Hv

            H = LinearOperator((self.q, self.q), matvec=product, dtype=np.float64)
            for _ in range(REFINEMENTS):  # the trust region stops where g no longer falls, halfway in digits
                y_star = y_star - cg(H, np.asarray(ask("g_y", x64, y_star), np.float64), rtol=1e-8, maxiter=10 * self.q + 100)[0]
            z, _ = cg(H, np.asarray(ask("f_y", x64, y_star), np.float64), rtol=tol, maxiter=10 * self.q + 100)
            return ask("f_x", x64, y_star) - ask("g_xy", x64, y_star, z)

        found = self.on_root(work, self.p)
        if negative and not self.warned:
            self.warned = True
            warnings.warn(f"hypergradient_norm: g_yy has the curvature {negative[0]:.3g} where Newton's method for y* ends, so that "
                          "there is no hypergradient and it is nan; it needs a lower loss that is strongly convex in y", stacklevel=2)
        return found

    def envelope(self, x: Array, y: Array, t: Array, lam: float, *, tol: float = 1e-8) -> float:
        """V(x, y) = min_t g(x, t) + |t - y|^2 / (2 lam), refined from t until its gradient is below `tol`."""

        def work(ask: Callable[..., Array]) -> Array:
            from scipy.optimize import minimize
            x64, y64 = np.asarray(x, np.float64), np.asarray(y, np.float64)
            best = minimize(lambda t: float(ask("g", x64, t)) + float((t - y64) @ (t - y64)) / (2 * lam), np.asarray(t, np.float64),
                            jac=lambda t: np.asarray(ask("g_y", x64, t), np.float64) + (t - y64) / lam,
                            method="L-BFGS-B", options={"gtol": tol, "ftol": 0, "maxiter": 10000, "maxfun": 100000})
            return np.array([best.fun])

        return float(self.on_root(work, 1)[0])

    def curvature(self, x: Array, y: Array, v: Array) -> float:
        """v' g_yy v / |v|^2; collective."""
        norm = float(v @ v)
        return float(v @ self("g_yy", x, y, v)) / norm if norm else np.nan

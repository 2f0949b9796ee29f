"""Problems whose losses are quadratic forms of (x, y): oracles, stacked oracles and the closed-form solution of all of them."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .stackable import Stackable


class Form(NamedTuple):
    """One agent's losses.

        f = 1/2 x'A x + x'C y + 1/2 y'B y + a'x + b'y + e
        g = 1/2 y'H y - y'(P x + c) + 1/2 x'K x + k'x + o

    A, K (p, p), B, H (q, q), C (p, q), P (q, p), a, k (p,), b, c (q,), and the constants e, o, shape ().
    """

    A: Any
    B: Any
    C: Any
    a: Any
    b: Any
    e: Any
    H: Any
    P: Any
    c: Any
    K: Any
    k: Any
    o: Any


class QuadraticForms(Stackable):
    """The problem of `form(agent)` for every agent; a draw is what it adds to (a, b, k, c), shape (2p + 2q,).

    With bars for averages over agents, M = Hbar^-1 Pbar and w = Hbar^-1 cbar, y*(x) = M x + w and
    x* = -(Abar + Cbar M + M'Cbar' + M'Bbar M)^-1 (abar + M'bbar + (Cbar + M'Bbar) w).
    """

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any, form: Callable[[int], Form]) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dtype, self._form = dtype, form
        self.own = Form(*(xp.asarray(part, dtype=dtype) for part in form(agent)))
        self.dims = self.own.a.size, self.own.b.size
        self._one = Stacked([self])

    def _shift(self, sample: Any) -> tuple[Any, Any, Any, Any]:
        """(a, b, k, c) of a sample."""
        own = self.own.a, self.own.b, self.own.k, self.own.c
        if sample is None:
            return own
        p, q = self.dims
        a, b, k, c = (part + sample[at:at + part.size] for part, at in zip(own, (0, p, p + q, 2 * p + q), strict=True))
        return a, b, k, c

    def f(self, x: Any, y: Any, sample: Any) -> float:
        a, b, _, _ = self._shift(sample)
        own = self.own
        return float(x @ (own.A @ x) / 2 + x @ (own.C @ y) + y @ (own.B @ y) / 2 + a @ x + b @ y + own.e)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        _, _, k, c = self._shift(sample)
        own = self.own
        return float(y @ (own.H @ y) / 2 - y @ (own.P @ x + c) + x @ (own.K @ x) / 2 + k @ x + own.o)

    @cached_property
    def _solution(self) -> np.ndarray:
        sums = [np.zeros(())] * len(Form._fields)
        for agent in range(self.n_agents):
            sums = [total + part for total, part in zip(sums, self._form(agent), strict=True)]
        mean = Form(*(total / self.n_agents for total in sums))
        M, w = np.linalg.solve(mean.H, mean.P), np.linalg.solve(mean.H, mean.c)
        CM = mean.C @ M
        return -np.linalg.solve(mean.A + CM + CM.T + M.T @ mean.B @ M, mean.a + M.T @ mean.b + (mean.C + M.T @ mean.B) @ w)

    def solution(self) -> Any:
        return self.xp.asarray(self._solution, dtype=self.dtype)

    @classmethod
    def stacked(cls, agents: "list[QuadraticForms]") -> "Stacked":
        return Stacked(agents)


class Stacked:
    """The oracles of several agents, row by row."""

    def __init__(self, agents: list[QuadraticForms]) -> None:
        xp, (self.p, self.q) = agents[0].xp, agents[0].dims
        self.own = Form(*(xp.stack(parts) for parts in zip(*(agent.own for agent in agents), strict=True)))
        self.CT, self.PT = (xp.ascontiguousarray(part.swapaxes(1, 2)) for part in (self.own.C, self.own.P))
        self.xp = xp

    def _noisy(self, u: Any, samples: list[Any], first: int, size: int) -> Any:
        return u if samples[0] is None else u + self.xp.stack([sample[first:first + size] for sample in samples])

    def f_x(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return self._noisy(products(self.own.A, x) + products(self.own.C, y) + self.own.a, samples, 0, self.p)

    def f_y(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return self._noisy(products(self.CT, x) + products(self.own.B, y) + self.own.b, samples, self.p, self.q)

    def g_x(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return self._noisy(products(self.own.K, x) - products(self.PT, y) + self.own.k, samples, self.p + self.q, self.p)

    def g_y(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return products(self.own.H, y) - self._noisy(products(self.own.P, x) + self.own.c, samples, 2 * self.p + self.q, self.q)

    def g_yy(self, x: Any, y: Any, v: Any, samples: list[Any]) -> Any:
        return products(self.own.H, v)

    def g_xy(self, x: Any, y: Any, v: Any, samples: list[Any]) -> Any:
        return -products(self.PT, v)


def products(matrices: Any, rows: Any) -> Any:
    """(m, d): matrices[i] @ rows[i], each as the single product would be."""
    return (matrices @ rows[:, :, None])[:, :, 0]


def definite(rng: np.random.Generator, d: int, least: float) -> np.ndarray:
    """A random symmetric matrix (d, d) with eigenvalues from `least` to 1."""
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (basis * np.geomspace(least, 1, d)) @ basis.T

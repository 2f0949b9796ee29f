"""Heterogeneous quadratic problem with a closed-form solution."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .base import Problem
from .forms import products


class Quadratic(Problem):
    """f_i = 1/2 |y - b_i|^2_{B_i} + 1/2 |x - a_i|^2_{A_i},  g_i = 1/2 y'H_i y - y'(P_i x + c_i).

    With bars for averages over agents, y*(x) = Hbar^-1 (Pbar x + cbar) =: M x + w and
    x* = (Abar + M' Bbar M)^-1 (mean A_i a_i + M' (mean B_i b_i - Bbar w)).

    Options
    -------
    p, q : dimensions of x and y.
    heterogeneity : the size of what differs between agents (0: all agents are alike).
    noise : standard deviation of the noise that a draw adds to every gradient (0: deterministic). The noise is
        additive, the same at every point, so it is the gradient of <noise, .>.
    condition : condition number of the common part of H_i; its eigenvalues lie between 1/condition and 1.
    """

    infinite: ClassVar[tuple[str, ...]] = ()

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, p: int = 5,
                 q: int = 5, heterogeneity: float = 1.0, noise: float = 0.0, condition: float = 4.0) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if p < 1 or q < 1:
            raise UserError(f"problem: p = {p} and q = {q} must both be positive; x and y have at least one entry each")
        if not 1 <= condition < 1e16:
            raise UserError(f"problem.condition: {condition} is no condition number; choose one from 1 on, below 1e16")
        self.dims, self.noise, self.dtype = (p, q), noise, dtype
        self._make = partial(_data, seed, p=p, q=q, heterogeneity=heterogeneity, condition=condition)
        self.A, self.a, self.B, self.b, self.H, self.P, self.c = (
            xp.asarray(part, dtype=dtype) for part in self._make(agent))
        self.PT = xp.ascontiguousarray(self.P.T)

    def draw(self, rng: np.random.Generator) -> Any:
        if self.noise == 0:
            return None
        p, q = self.dims
        return self.xp.asarray(self.noise * rng.standard_normal(p + 2 * q), dtype=self.dtype)

    def f(self, x: Any, y: Any, sample: Any) -> float:
        dx, dy = x - self.a, y - self.b
        return 0.5 * float(dx @ (self.A @ dx) + dy @ (self.B @ dy)) + self._noise(x, y, sample, upper=True)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        return float(y @ (0.5 * (self.H @ y) - self.P @ x - self.c)) + self._noise(x, y, sample, upper=False)

    def _noise(self, x: Any, y: Any, sample: Any, *, upper: bool) -> float:
        if sample is None:
            return 0.0
        p, q = self.dims
        return float(sample[:p] @ x + sample[p:p + q] @ y) if upper else float(sample[p + q:] @ y)

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        u = self.A @ (x - self.a)
        return u if sample is None else u + sample[:self.dims[0]]

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        u = self.B @ (y - self.b)
        return u if sample is None else u + sample[self.dims[0]:sum(self.dims)]

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return -(self.PT @ y)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        u = self.H @ y - self.P @ x - self.c
        return u if sample is None else u + sample[sum(self.dims):]

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self.H @ v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -(self.PT @ v)

    def solution(self) -> Any:
        data = [self._make(i) for i in range(self.n_agents)]
        A, Aa, B, Bb, H, P, c = (sum(parts) / self.n_agents for parts in zip(
            *((A, A @ a, B, B @ b, H, P, c) for A, a, B, b, H, P, c in data), strict=True))
        M, w = np.linalg.solve(H, P), np.linalg.solve(H, c)
        return self.xp.asarray(np.linalg.solve(A + M.T @ B @ M, Aa + M.T @ (Bb - B @ w)), dtype=self.dtype)

    @classmethod
    def stacked(cls, agents: "list[Quadratic]") -> "Stacked":
        return Stacked(agents)


class Stacked:
    """The oracles of several agents, row by row: matmul takes each agent's product by itself."""

    def __init__(self, agents: list[Quadratic]) -> None:
        xp, (self.p, self.q) = agents[0].xp, agents[0].dims
        self.A, self.a, self.B, self.b, self.H, self.P, self.PT, self.c = (
            xp.stack([getattr(agent, name) for agent in agents]) for name in ("A", "a", "B", "b", "H", "P", "PT", "c"))
        self.xp = xp

    def _noisy(self, u: Any, samples: list[Any], part: slice) -> Any:
        return u if samples[0] is None else u + self.xp.stack([sample[part] for sample in samples])

    def f_x(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return self._noisy(products(self.A, x - self.a), samples, slice(self.p))

    def f_y(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return self._noisy(products(self.B, y - self.b), samples, slice(self.p, self.p + self.q))

    def g_x(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return -products(self.PT, y)

    def g_y(self, x: Any, y: Any, samples: list[Any]) -> Any:
        return self._noisy(products(self.H, y) - products(self.P, x) - self.c, samples, slice(self.p + self.q, None))

    def g_yy(self, x: Any, y: Any, v: Any, samples: list[Any]) -> Any:
        return products(self.H, v)

    def g_xy(self, x: Any, y: Any, v: Any, samples: list[Any]) -> Any:
        return -products(self.PT, v)


def _data(seed: int, agent: int, *, p: int, q: int, heterogeneity: float, condition: float) -> tuple[np.ndarray, ...]:
    """(A, a, B, b, H, P, c) of one agent: a common part drawn from the seed, and its own."""
    common, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1, agent])

    def spd(d: int) -> np.ndarray:
        basis = np.linalg.qr(common.standard_normal((d, d)))[0]
        skew = own.standard_normal((d, d)) / np.sqrt(d)
        return (basis * np.geomspace(1 / condition, 1, d)) @ basis.T + 0.1 * heterogeneity * (skew @ skew.T) / condition

    def free(*shape: int) -> np.ndarray:
        return (common.standard_normal(shape) + heterogeneity * own.standard_normal(shape)) / np.sqrt(shape[-1])

    return spd(p), free(p), spd(q), free(q), spd(q), 0.3 * free(q, p), free(q)

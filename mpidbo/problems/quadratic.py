"""Heterogeneous quadratic problem with a closed-form solution."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from .._linalg import batched_matvec
from .._types import Array, Float
from ..errors import UserError
from .draws import Noisy
from .forms import normal
from .stackable import Stackable, stack


class Quadratic(Stackable):
    """A quadratic problem whose agents differ, with a closed-form solution.

        f_i = 1/2 |y - b_i|^2_{B_i} + 1/2 |x - a_i|^2_{A_i}
        g_i = 1/2 y'H_i y - y'(P_i x + c_i)

    Parameters
    ----------
    p, q : int
        Dimensions of x and y; dims = (p, q).
    heterogeneity : float
        Size of what differs between agents; 0: all agents are alike.
    noise : float
        Standard deviation of the noise that a draw adds to every gradient; 0: deterministic. The
        noise is the same at every point, so it is the gradient of <noise, .>.
    condition : float
        Condition number of the common part of H_i; its eigenvalues are between 1/condition and 1.

    Notes
    -----
    With bars for averages over agents, y*(x) = Hbar^-1 (Pbar x + cbar) =: M x + w and

        x* = (Abar + M'Bbar M)^-1 (mean A_i a_i + M'(mean B_i b_i - Bbar w)).

    The distribution of the data is of this package.
    """

    thread_safe: ClassVar[bool] = True

    infinite: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        p: int = 5,
        q: int = 5,
        heterogeneity: float = 1.0,
        noise: float = 0.0,
        condition: float = 4.0,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if p < 1 or q < 1:
            raise UserError(
                f"problem: p = {p} and q = {q} must both be positive; x and y have at least one "
                "entry each"
            )
        if not 1 <= condition < 1e16:
            raise UserError(
                f"problem.condition: {condition} is not a condition number; choose one from 1 on, "
                "below 1e16"
            )
        self.dims, self.noise, self.dtype = (p, q), noise, dtype
        self._make = partial(
            _data, seed, p=p, q=q, heterogeneity=heterogeneity, condition=condition
        )
        own = [xp.asarray(part, dtype=dtype) for part in self._make(agent)]
        self.A, self.a, self.B, self.b, self.H, self.P, self.c = own
        self.PT = xp.ascontiguousarray(self.P.T)

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        dx, dy = x - self.a, y - self.b
        value = 0.5 * float(dx @ (self.A @ dx) + dy @ (self.B @ dy))
        if sample is None:
            return value
        p, q = self.dims
        return value + float(sample[:p] @ x + sample[p : p + q] @ y)

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        value = float(y @ (0.5 * (self.H @ y) - self.P @ x - self.c))
        if sample is None:
            return value
        return value + float(sample[sum(self.dims) :] @ y)

    def solution(self) -> Float[Array, " p"]:
        n = self.n_agents
        data = [self._make(agent) for agent in range(n)]
        # A fixed order of sums: the solution has the same bits on every rank.
        terms = [(A, A @ a, B, B @ b, H, P, c) for A, a, B, b, H, P, c in data]
        A, Aa, B, Bb, H, P, c = (sum(parts) / n for parts in zip(*terms, strict=True))
        M, w = np.linalg.solve(H, P), np.linalg.solve(H, c)
        x = np.linalg.solve(A + M.T @ B @ M, Aa + M.T @ (Bb - B @ w))
        return self.xp.asarray(x, dtype=self.dtype)

    @classmethod
    def stack(cls, agents: "list[Quadratic]") -> "StackedQuadratics":
        return StackedQuadratics(agents)


class StackedQuadratics(Noisy):
    """The derivatives of several agents, row by row.

    Matmul computes each agent's product separately. A draw is what it adds to f_x, f_y and g_y.
    """

    def __init__(self, agents: list[Quadratic]) -> None:
        p, q = agents[0].dims
        super().__init__(agents, p + 2 * q)
        self.A, self.a, self.B, self.b, self.H, self.P, self.PT, self.c = (
            stack(self.xp, agents, name) for name in ("A", "a", "B", "b", "H", "P", "PT", "c")
        )
        self.of_f_x, self.of_f_y, self.of_g_y = slice(p), slice(p, p + q), slice(p + q, None)

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        return self.add_noise(batched_matvec(self.A, x - self.a), samples, self.of_f_x)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        return self.add_noise(batched_matvec(self.B, y - self.b), samples, self.of_f_y)

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        return -batched_matvec(self.PT, y)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        u = batched_matvec(self.H, y) - batched_matvec(self.P, x) - self.c
        return self.add_noise(u, samples, self.of_g_y)

    def g_yy(
        self,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        v: Float[Array, "m q"],
        samples: list[Any],
    ) -> Float[Array, "m q"]:
        return batched_matvec(self.H, v)

    def g_xy(
        self,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        v: Float[Array, "m q"],
        samples: list[Any],
    ) -> Float[Array, "m p"]:
        return -batched_matvec(self.PT, v)


def _data(
    seed: int, agent: int, *, p: int, q: int, heterogeneity: float, condition: float
) -> tuple[np.ndarray, ...]:
    """(A, a, B, b, H, P, c) of one agent.

    A common part drawn from the seed, and the agent's own.
    """
    common = np.random.default_rng([seed, 0])
    own = np.random.default_rng([seed, 1, agent])

    def positive_definite(d: int) -> np.ndarray:
        basis = np.linalg.qr(common.standard_normal((d, d)))[0]
        skew = own.standard_normal((d, d)) / np.sqrt(d)
        shared = (basis * np.geomspace(1 / condition, 1, d)) @ basis.T
        return shared + 0.1 * heterogeneity * (skew @ skew.T) / condition

    # The order of the draws is part of the problem.
    A = positive_definite(p)
    a = normal(common, own, heterogeneity, p)
    B = positive_definite(q)
    b = normal(common, own, heterogeneity, q)
    H = positive_definite(q)
    P = 0.3 * normal(common, own, heterogeneity, q, p)
    c = normal(common, own, heterogeneity, q)
    return A, a, B, b, H, P, c

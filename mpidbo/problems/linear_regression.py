"""Linear regression through a lower-level ridge regression, with a closed-form solution."""

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from .._linalg import batched_matvec
from .._types import Array, Float
from ..errors import UserError
from .draws import PerDraw, drawn
from .stackable import Stackable, stack


class LinearRegression(Stackable):
    """Linear regression through a lower-level ridge regression, with a closed-form solution.

        f_i = E |A y - b|^2
        g_i = E |A y - x|^2 + ridge |y|^2

    with A (p, q) and b (p,) drawn around agent i's means A_i, b_i; dims = (p, q).

    Parameters
    ----------
    p, q : int
        Dimensions of x and y, p <= q.
    heterogeneity : float
        Size h of what differs between agents: 1 is severe, 0.1 mild, 0 none.
    noise : float
        Size of the noise of a draw.
    batch : int
        Pairs (A, b) in a draw; 0 is the full batch, as is noise = 0.
    ridge : float
        Weight of |y|^2, positive; every g_i is strongly convex with constant 2 ridge.

    Notes
    -----
    A_i = (A_0 + h D_i) / (2 sqrt(q)) and b_i = A_i (w_0 + h w_i), all of A_0, D_i, w_0, w_i
    standard normal. A draw is `batch` pairs (A_i + noise N / (2 sqrt(q)), b_i + noise e), N and e
    standard normal, so that E A'A = A_i'A_i + p noise^2/(4q) I =: S_i and E A'b = A_i'b_i =: m_i;
    the full batch is these expectations, exactly.

    With bars for averages over agents and G = (Sbar + ridge I)^-1 Abar', y*(x) = G x and

        x* = (G'Sbar G)^-1 G'mbar.

    Sizes and the distribution of the data are of this package. With the default options the
    curvature of g_i stays below about 3 and that of the averaged g above 0.1.

    References
    ----------
    Zhu et al., SPARKLE, NeurIPS 2024, arXiv 2411.14166, experiment 2 (ridge is its C_r).
    """

    thread_safe: ClassVar[bool] = True

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        p: int = 10,
        q: int = 20,
        heterogeneity: float = 1.0,
        noise: float = 0.1,
        batch: int = 1,
        ridge: float = 0.05,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if not 0 < p <= q:
            raise UserError(f"problem.p: {p} must lie between 1 and q = {q}; raise q or lower p")
        if ridge <= 0:
            raise UserError(
                f"problem.ridge: {ridge} leaves g without a unique minimizer; choose a positive "
                "number"
            )
        if batch < 0:
            raise UserError(f"problem.batch: {batch} pairs cannot be drawn; 0 is the full batch")
        self.dims, self.dtype = (p, q), dtype
        self.noise, self.batch, self.ridge = noise, batch, ridge
        self.heterogeneity = heterogeneity
        self._spread = 0.5 * noise / q**0.5
        self._covariance = p * self._spread**2
        own = _means(seed, p, q, heterogeneity, agent)
        self.A, self.b = (xp.asarray(part, dtype=dtype) for part in own)
        self.AT = xp.ascontiguousarray(self.A.T)

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        if sample is None:
            e = self.A @ y - self.b
            return float(e @ e) + self._covariance * float(y @ y) + self.b.size * self.noise**2
        A, b = sample
        return float(((A @ y - b) ** 2).sum()) / self.batch

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        ridge = self.ridge * float(y @ y)
        if sample is None:
            e = self.A @ y - x
            return float(e @ e) + self._covariance * float(y @ y) + ridge
        return float(((sample[0] @ y - x) ** 2).sum()) / self.batch + ridge

    @classmethod
    def stack(cls, agents: "list[LinearRegression]") -> "StackedRegressions":
        return StackedRegressions(agents)

    @cached_property
    def _network(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sbar (q, q), mbar (q,) and G (q, p)."""
        return _averages(
            self.n_agents, self.seed, *self.dims, self.heterogeneity, self._covariance, self.ridge
        )

    def solution(self) -> Float[Array, " p"]:
        S, m, G = self._network
        return self.xp.asarray(np.linalg.solve(G.T @ S @ G, G.T @ m), dtype=self.dtype)

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> dict[str, float]:
        """lower_distance: |y - y*(x)|."""
        return {"lower_distance": float(self.xp.linalg.norm(y - self._G @ x))}

    @cached_property
    def _G(self) -> Any:
        return self.xp.asarray(self._network[2], dtype=self.dtype)


class StackedRegressions:
    """The oracles of several agents. A sample is (A, b) of shapes (batch, p, q) and (batch, p)."""

    def __init__(self, agents: list[LinearRegression]) -> None:
        one = agents[0]
        self.xp, self.dtype, self.dims = one.xp, one.dtype, one.dims
        self.noise, self.batch, self.ridge = one.noise, one.batch, one.ridge
        self._spread, self._covariance = one._spread, one._covariance
        self.A, self.AT, self.b = (stack(self.xp, agents, name) for name in ("A", "AT", "b"))
        self._full_batch = [None] * len(agents)
        self._drawn = PerDraw(self._stacked)

    def draw(self, rngs: Iterable[np.random.Generator]) -> Any:
        """Return (A, b) of each agent; None for each without noise."""
        if self.noise == 0 or self.batch == 0:
            return self._full_batch
        (p, q), m = self.dims, len(self.A)
        numbers = self.xp.asarray(
            drawn(rngs, "standard_normal", m, self.batch, p, q + 1), dtype=self.dtype
        )
        A = self.A[:, None] + self._spread * numbers[..., :q]
        b = self.b[:, None] + self.noise * numbers[..., q]
        return list(zip(A, b, strict=True))

    def _stacked(self, samples: list[Any]) -> tuple[Any, Any]:
        """A (m, batch, p, q) and b (m, batch, p)."""
        A, b = (self.xp.stack(parts) for parts in zip(*samples, strict=True))
        return A, b

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.xp.zeros_like(x)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._normal(y, self.b if samples[0] is None else self._drawn(samples)[1], samples)

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return 2 * x + self.g_xy(x, y, y, samples)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        target = x if samples[0] is None else x[:, None]
        return self._normal(y, target, samples) + 2 * self.ridge * y

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self._normal(v, 0.0, samples) + 2 * self.ridge * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        if samples[0] is None:
            return -2 * batched_matvec(self.A, v)
        return -2 * self._products(self._drawn(samples)[0], v).mean(axis=1)

    def _products(self, A: Any, v: Any) -> Any:
        """A v of each pair of the draw, (m, batch, p)."""
        return (A @ v[:, None, :, None])[..., 0]

    def _normal(self, y: Any, target: Any, samples: Any) -> Any:
        """2 E A'(A y - target), the target of shape (m, p), or of a draw (m, batch or 1, p)."""
        if samples[0] is None:
            product = batched_matvec(self.AT, batched_matvec(self.A, y) - target)
            return 2 * (product + self._covariance * y)
        A, _ = self._drawn(samples)
        e = (self._products(A, y) - target).reshape(len(y), -1)
        AT = A.reshape(len(y), -1, A.shape[-1]).swapaxes(1, 2)
        return (2 / self.batch) * batched_matvec(AT, e)


def _means(
    seed: int, p: int, q: int, heterogeneity: float, agent: int
) -> tuple[np.ndarray, np.ndarray]:
    """(A_i, b_i) of shapes (p, q) and (p,).

    A common part drawn from the seed, and the agent's own.
    """
    common = np.random.default_rng([seed, 0])
    own = np.random.default_rng([seed, 1, agent])

    def draw(*shape: int) -> np.ndarray:
        return common.standard_normal(shape) + heterogeneity * own.standard_normal(shape)

    A = draw(p, q) / (2 * np.sqrt(q))
    return A, A @ draw(q)


@lru_cache(maxsize=2)
def _averages(
    n: int, seed: int, p: int, q: int, heterogeneity: float, covariance: float, ridge: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sbar (q, q), mbar (q,) and G (q, p); once for all agents of a process."""
    S, m, Abar = covariance * np.eye(q), np.zeros(q), np.zeros((p, q))
    for agent in range(n):
        A, b = _means(seed, p, q, heterogeneity, agent)
        S, m, Abar = S + A.T @ A / n, m + A.T @ b / n, Abar + A / n
    return S, m, np.linalg.solve(S + ridge * np.eye(q), Abar.T)

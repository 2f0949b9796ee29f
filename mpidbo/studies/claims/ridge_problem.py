"""The weight of a ridge regression, tuned on the upper level, with a closed-form solution."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ..._types import Array, Float
from ...errors import UserError
from ...problems import Stackable, as_rows, stack

SPEC = "mpidbo.studies.claims.ridge_problem:RidgeTuning"
"""Its name in a configuration."""
HALF_WIDTH = 2 * 1.5 ** (1 / 3)
VARIANCE = HALF_WIDTH**2 / 3
"""Of an entry of a, uniform on [-HALF_WIDTH, HALF_WIDTH]."""


class RidgeTuning(Stackable):
    """The weight of a ridge regression, tuned on the upper level, with a closed-form solution.

        f_i = E (a'y - b)^2
        g_i = E (a'y - b)^2 + |x| |y|^2

    with x a single number and y of q numbers; b = a'w_i + noise e.

    Parameters
    ----------
    q : int
        Dimension of y.
    heterogeneity : float
        Standard deviation s of an entry of w_i - w; the paper's are sqrt(2) and sqrt(1/2).
    noise : float
        Standard deviation of the noise of b.
    batch : int
        Pairs (a, b) in a draw; 0 is the full batch, the expectation.
    x0 : float
        Where x starts.

    Notes
    -----
    Entries of a are uniform on [-c, c], c = 2 * 1.5^(1/3), so that E aa' = v I with v = c^2/3;
    entries of w are uniform on [0, 10], and those of w_i - w normal; e is standard normal. So

        y*(x) = v/(v + |x|) wbar,   x* = 0.

    The paper does not print the batch and the start.

    References
    ----------
    Kong et al., D-SOBA, JMLR 26(240), 2025, arXiv 2402.03167, section 5, first experiment.
    """

    thread_safe: ClassVar[bool] = True

    steps: ClassVar[dict[str, float]] = {"alpha": 0.001, "beta": 0.1, "gamma": 0.1}

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        q: int = 10,
        heterogeneity: float = 0.5**0.5,
        noise: float = 1.0,
        batch: int = 10,
        x0: float = 1.0,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if q < 1:
            raise UserError(f"problem.q: {q} is not positive; y has at least one entry")
        if batch < 0:
            raise UserError(f"problem.batch: {batch} pairs cannot be drawn; 0 is the full batch")
        self.dims, self.dtype = (1, q), dtype
        self.heterogeneity, self.noise, self.batch, self.x0 = heterogeneity, noise, batch, x0
        self.w = xp.asarray(_weights(seed, q, heterogeneity, agent), dtype=dtype)

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        x = self.xp.full(1, self.x0, dtype=self.dtype)
        return x, self.xp.zeros(self.dims[1], dtype=self.dtype)

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        if sample is None:
            e = y - self.w
            return VARIANCE * float(e @ e) + self.noise**2
        return float(((sample[:, :-1] @ y - sample[:, -1]) ** 2).mean())

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return self.f(x, y, sample) + abs(float(x[0])) * float(y @ y)

    @classmethod
    def stack(cls, agents: "list[RidgeTuning]") -> "StackedRidges":
        return StackedRidges(agents)

    def solution(self) -> Float[Array, " p"]:
        return self.xp.zeros(1, dtype=self.dtype)

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> dict[str, float]:
        """lower_distance: |y - y*(x)|."""
        mean = _mean(self.seed, self.n_agents, self.dims[1], self.heterogeneity)
        solution = VARIANCE / (VARIANCE + abs(float(x[0]))) * mean
        return {"lower_distance": float(self.xp.linalg.norm(y - self.xp.asarray(solution)))}


class StackedRidges:
    """The oracles of several agents. A sample has a row (a, b) for each pair, (batch, q + 1)."""

    def __init__(self, agents: list[RidgeTuning]) -> None:
        one = agents[0]
        self.xp, self.dtype, self.noise, self.batch = one.xp, one.dtype, one.noise, one.batch
        self.w = stack(self.xp, agents, "w")
        self._full_batch = [None] * len(agents)

    def draw(self, rngs: Iterable[np.random.Generator]) -> Any:
        """Return the rows (a, b) of each agent; None for each with the full batch."""
        if self.batch == 0:
            return self._full_batch
        m, q = self.w.shape
        a, e = np.empty((m, self.batch, q)), np.empty((m, self.batch))
        # Not strict, which would take one more generator.
        for own_a, own_e, rng in zip(a, e, rngs, strict=False):
            rng.random(out=own_a)
            rng.standard_normal(out=own_e)
        a = self.xp.asarray(HALF_WIDTH * (2 * a - 1), dtype=self.dtype)
        e = self.xp.asarray(self.noise * e, dtype=self.dtype)
        b = _times(a, self.w) + e
        return self.xp.concatenate([a, b[..., None]], axis=2)

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.xp.zeros_like(x)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        if samples[0] is None:
            return 2 * VARIANCE * (y - self.w)
        pairs = as_rows(self.xp, samples)
        a, b = pairs[..., :-1], pairs[..., -1]
        return self._mean_over_pairs(a, _times(a, y) - b)

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.xp.sign(x) * (y * y).sum(axis=1, keepdims=True)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self.f_y(x, y, samples) + 2 * abs(x) * y

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        if samples[0] is None:
            return 2 * (VARIANCE + abs(x)) * v
        a = as_rows(self.xp, samples)[..., :-1]
        return self._mean_over_pairs(a, _times(a, v)) + 2 * abs(x) * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return 2 * self.xp.sign(x) * (y * v).sum(axis=1, keepdims=True)

    def _mean_over_pairs(self, a: Any, e: Any) -> Any:
        """2 E a e, rows of q numbers."""
        return (2 / self.batch) * (e[:, None, :] @ a)[:, 0]


def _times(a: Float[Array, "m batch q"], y: Float[Array, "m q"]) -> Float[Array, "m batch"]:
    """a'y of every pair."""
    return (a @ y[:, :, None])[..., 0]


def _weights(seed: int, q: int, heterogeneity: float, agent: int) -> Float[np.ndarray, " q"]:
    """w_i: a common part drawn from the seed, and the agent's own."""
    common, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1, agent])
    return common.uniform(0, 10, q) + heterogeneity * own.standard_normal(q)


@lru_cache(maxsize=2)
def _mean(seed: int, n: int, q: int, heterogeneity: float) -> Float[np.ndarray, " q"]:
    """The mean of all agents' w_i; once for all agents of a process."""
    return sum((_weights(seed, q, heterogeneity, i) for i in range(n)), np.zeros(q)) / n

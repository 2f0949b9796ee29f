"""A toy whose lower level has many minimizers."""

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .draws import Noisy
from .stackable import Stackable, stack


class NonconvexToy(Stackable):
    """A toy whose lower level has many minimizers, with a closed-form solution.

        f = |x - a|^2 + |y - a - c|^2
        g = sum_j sin(x_j + y_j - c)

    are the averages over agents, exactly; dims = (dim, dim).

    Parameters
    ----------
    dim : int
        p = q = dim; the problem is separable over coordinates.
    a, c : float
        The constants above, the same in every coordinate.
    x0 : float
        Every coordinate of the starting x; y starts at 0.
    heterogeneity : float
        Size h of what differs between agents; 0: all agents are alike. From about 1 on a single g_i
        may be concave where the average is convex.
    noise : float
        Standard deviation of the noise that a draw adds to every gradient; 0: deterministic. The
        noise is the same at every point, so it is the gradient of <noise, .>.

    Notes
    -----
    g is least wherever y = c - x - pi/2 + 2 pi k, and of these points f is least at x* = 3
    pi/4 + k pi, y* = c + x*, with the integer k that brings x* closest to a (0 for a = 2): the
    optimistic solution.

    Agent i has f_i = f + <s_i, x> + <t_i, y> and
    g_i = (1 + e_i) sum_j sin(x_j + y_j - c) + <u_i, x> + <v_i, y>. The vectors are h times standard
    normal minus their average over agents, and so are the e_i: what differs averages to zero to
    rounding, about 1e-16 h.

    References
    ----------
    Liu et al., MEHA, ICML 2024.
    Ma et al., SUN-DSBO, arXiv 2601.22682.
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
        dim: int = 1,
        a: float = 2.0,
        c: float = 2.0,
        x0: float = -6.0,
        heterogeneity: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if dim < 1:
            raise UserError(
                f"problem.dim: {dim} is not positive; x and y have at least one entry each"
            )
        self.dims, self.dtype = (dim, dim), dtype
        self.a, self.c, self.x0, self.noise = a, c, x0, noise
        own, mean = _differences(seed, n_agents, dim)
        mine = heterogeneity * (own[agent] - mean)
        self.amplitude = 1 + float(mine[-1])
        self.linear = xp.asarray(mine[:-1].reshape(4, dim), dtype=dtype)

    def _linear(self, sample: Any) -> Any:
        return self.linear if sample is None else self.linear + sample

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        dx, dy, linear = x - self.a, y - (self.a + self.c), self._linear(sample)
        return float(dx @ dx + dy @ dy + linear[0] @ x + linear[1] @ y)

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        linear = self._linear(sample)
        return float(
            self.amplitude * self.xp.sin(x + y - self.c).sum() + linear[2] @ x + linear[3] @ y
        )

    @classmethod
    def stack(cls, agents: "list[NonconvexToy]") -> "StackedToys":
        return StackedToys(agents)

    def start(self) -> tuple[Float[Array, " p"], Float[Array, " q"]]:
        p, q = self.dims
        x = self.xp.full(p, self.x0, dtype=self.dtype)
        return x, self.xp.zeros(q, dtype=self.dtype)

    def solution(self) -> Float[Array, " p"]:
        k = round((self.a - 0.75 * np.pi) / np.pi)
        return self.xp.full(self.dims[0], (0.75 + k) * np.pi, dtype=self.dtype)

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> dict[str, float]:
        """y_distance: |y - y*|."""
        return {"y_distance": float(self.xp.linalg.norm(y - self.c - self.solution()))}


class StackedToys(Noisy):
    """The oracles of several agents. A draw is the noise of f_x, f_y, g_x and g_y, (4, dim)."""

    def __init__(self, agents: list[NonconvexToy]) -> None:
        one = agents[0]
        super().__init__(agents, *one.linear.shape)
        self.a, self.c = one.a, one.c
        self.linear = stack(self.xp, agents, "linear")
        amplitudes = [[agent.amplitude] for agent in agents]
        self.amplitude = self.xp.asarray(amplitudes, dtype=self.dtype)

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return 2 * (x - self.a) + self._linear(0, samples)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return 2 * (y - (self.a + self.c)) + self._linear(1, samples)

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.amplitude * self.xp.cos(x + y - self.c) + self._linear(2, samples)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return self.amplitude * self.xp.cos(x + y - self.c) + self._linear(3, samples)

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return -self.amplitude * self.xp.sin(x + y - self.c) * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.g_yy(x, y, v, samples)

    def _linear(self, part: int, samples: Any) -> Any:
        return self.add_noise(self.linear[:, part], samples, part)


@lru_cache(maxsize=2)
def _differences(seed: int, n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """What differs between agents, a row (4 dim + 1,) for each, and its mean; once a process."""
    generators = (np.random.default_rng([seed, 1, agent]) for agent in range(n))
    own = np.stack([rng.standard_normal(4 * dim + 1) for rng in generators])
    return own, own.mean(axis=0)

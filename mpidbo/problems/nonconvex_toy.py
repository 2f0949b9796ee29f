"""A lower level with many minimisers, after MEHA's toy."""

from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .base import Problem


class NonconvexToy(Problem):
    """f = |x - a|^2 + |y - a - c|^2,  g = sum_j sin(x_j + y_j - c): the average over agents, exactly.

    The toy of MEHA (Liu et al., ICML 2024), which SUN-DSBO (Ma et al., arXiv 2601.22682) takes up. g is least wherever
    y = c - x - pi/2 + 2 pi k, and among those f is least at x* = 3 pi/4 + k pi, y* = c + x*, with the integer k that
    brings x* closest to a (0 for a = 2): the optimistic solution.

    Agent i has f_i = f + <s_i, x> + <t_i, y> and g_i = (1 + e_i) sum_j sin(x_j + y_j - c) + <u_i, x> + <v_i, y>. The
    vectors are h times standard normal minus their average over agents, and so are the e_i: what differs averages to
    zero to rounding, about 1e-16 h.

    Options
    -------
    dim : p = q = dim; the problem is separable over coordinates.
    a, c : the constants above, the same in every coordinate.
    x0 : every coordinate of the starting x; y starts at 0.
    heterogeneity : h, the size of what differs between agents; 0: all agents are alike. From about 1 on a
        single g_i may be concave where the average is convex.
    noise : standard deviation of the noise that a draw adds to every gradient; 0: deterministic. The noise is
        additive, the same at every point, so it is the gradient of <noise, .>.
    """

    infinite: ClassVar[tuple[str, ...]] = ()

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, dim: int = 1,
                 a: float = 2.0, c: float = 2.0, x0: float = -6.0, heterogeneity: float = 0.0,
                 noise: float = 0.0) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if dim < 1:
            raise UserError(f"problem.dim: {dim} is not positive; x and y have at least one entry each")
        self.dims, self.dtype = (dim, dim), dtype
        self.a, self.c, self.x0, self.noise = a, c, x0, noise
        own = np.stack([np.random.default_rng([seed, 1, i]).standard_normal(4 * dim + 1) for i in range(n_agents)])
        mine = heterogeneity * (own[agent] - own.mean(axis=0))
        self.amplitude = 1 + float(mine[-1])
        self.linear = xp.asarray(mine[:-1].reshape(4, dim), dtype=dtype)

    def draw(self, rng: np.random.Generator) -> Any:
        """The noise of f_x, f_y, g_x and g_y, (4, dim); None without noise."""
        if self.noise == 0:
            return None
        return self.xp.asarray(self.noise * rng.standard_normal(self.linear.shape), dtype=self.dtype)

    def _linear(self, sample: Any) -> Any:
        return self.linear if sample is None else self.linear + sample

    def f(self, x: Any, y: Any, sample: Any) -> float:
        dx, dy, linear = x - self.a, y - (self.a + self.c), self._linear(sample)
        return float(dx @ dx + dy @ dy + linear[0] @ x + linear[1] @ y)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        linear = self._linear(sample)
        return float(self.amplitude * self.xp.sin(x + y - self.c).sum() + linear[2] @ x + linear[3] @ y)

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return 2 * (x - self.a) + self._linear(sample)[0]

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return 2 * (y - (self.a + self.c)) + self._linear(sample)[1]

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.amplitude * self.xp.cos(x + y - self.c) + self._linear(sample)[2]

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return self.amplitude * self.xp.cos(x + y - self.c) + self._linear(sample)[3]

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -self.amplitude * self.xp.sin(x + y - self.c) * v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return self.g_yy(x, y, v, sample)

    def start(self) -> tuple[Any, Any]:
        return self.xp.full(self.dims[0], self.x0, dtype=self.dtype), self.xp.zeros(self.dims[1], dtype=self.dtype)

    def solution(self) -> Any:
        k = round((self.a - 0.75 * np.pi) / np.pi)
        return self.xp.full(self.dims[0], (0.75 + k) * np.pi, dtype=self.dtype)

    def metrics(self, x: Any, y: Any) -> dict[str, float]:
        """y_distance: |y - y*|."""
        return {"y_distance": float(self.xp.linalg.norm(y - self.c - self.solution()))}

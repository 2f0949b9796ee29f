"""The quadratic problem without its lower level, for methods of a single level.

A configuration takes it as `mpidbo.studies.claims.reduced:Reduced`.
"""

from typing import Any

import numpy as np

from mpidbo._types import Array, Float
from mpidbo.problems import Quadratic


class Reduced(Quadratic):
    """The quadratic problem at the lower level's solution.

    f_i(x) is the quadratic problem's f_i at (x, y*(x)), so that the agents' mean is Phi(x), with
    the noise of f_x and f_y. The metric `error` is the distance of the agents' average to the
    bilevel x*.
    """

    def __init__(self, agent: int, n_agents: int, **options: Any) -> None:
        super().__init__(agent, n_agents, **options)
        data = [self._make(i) for i in range(n_agents)]
        *_, Hs, Ps, cs = zip(*data, strict=True)
        H, P, c = sum(Hs) / n_agents, sum(Ps) / n_agents, sum(cs) / n_agents
        # y*(x) = M x + w
        self.M, self.w = np.linalg.solve(H, P), np.linalg.solve(H, c)
        self.best = self.solution()

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return super().f(x, self.M @ x + self.w, sample)

    def f_y(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " q"]:
        return np.zeros_like(y)

    def f_x(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> Float[Array, " p"]:
        solution = self.M @ x + self.w
        indirect = self.M.T @ super().f_y(x, solution, sample)
        return super().f_x(x, solution, sample) + indirect

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> dict[str, float]:
        return {"error": float(np.linalg.norm(x - self.best))}

    @classmethod
    def stacked(cls, agents: list[Any]) -> Any:
        return None

"""The quadratic problem without its lower level, for methods of a single level."""

from typing import Any

import numpy as np

from mpidbo._linalg import batched_matvec
from mpidbo._types import Array, Float
from mpidbo.problems import Quadratic

SPEC = "mpidbo.studies.claims.reduced:Reduced"
"""Its name in a configuration."""


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

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> dict[str, float]:
        return {"error": float(np.linalg.norm(x - self.best))}

    @classmethod
    def stack(cls, agents: list[Any]) -> Any:
        return StackedReduced(agents)


class StackedReduced:
    """The derivatives of several agents, row by row; those of y are zero."""

    def __init__(self, agents: list[Any]) -> None:
        self.bilevel = Quadratic.stack(agents)
        one = agents[0]  # M and w are those of all agents
        self.M, self.MT, self.w = one.M[None], np.ascontiguousarray(one.M.T)[None], one.w

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bilevel, name)

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        solution = batched_matvec(self.M, x) + self.w
        indirect = batched_matvec(self.MT, self.bilevel.f_y(x, solution, samples))
        return self.bilevel.f_x(x, solution, samples) + indirect

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        return np.zeros_like(y)

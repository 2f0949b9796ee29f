"""The quadratic problem without its lower level, for methods of a single level; a run takes it as mpidbo.studies.claims.reduced:Reduced."""

from typing import Any

import numpy as np

from mpidbo.problems.quadratic import Quadratic


class Reduced(Quadratic):
    """f_i(x) = the quadratic problem's f_i at (x, y*(x)), so that the agents' mean is Phi(x), with the noise of f_x and f_y.

    It has the metric `error`, the distance of the agents' average to the bilevel x*.
    """

    def __init__(self, agent: int, n_agents: int, **options: Any) -> None:
        super().__init__(agent, n_agents, **options)
        data = [self._make(i) for i in range(n_agents)]
        H, P, c = (sum(parts) / n_agents for parts in zip(*((H, P, c) for *_, H, P, c in data), strict=True))
        self.M, self.w = np.linalg.solve(H, P), np.linalg.solve(H, c)
        self.best = self.solution()

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return super().f(x, self.M @ x + self.w, sample)

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return np.zeros_like(y)

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        at = self.M @ x + self.w
        return super().f_x(x, at, sample) + self.M.T @ super().f_y(x, at, sample)

    def metrics(self, x: Any, y: Any) -> dict[str, float]:
        return {"error": float(np.linalg.norm(x - self.best))}

    @classmethod
    def stacked(cls, agents: list[Any]) -> Any:
        return None

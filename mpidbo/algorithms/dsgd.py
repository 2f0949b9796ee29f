"""The double loop of policy evaluation: a fresh average of k + 1 samples for y in iteration k.

A baseline of Gossip-DSBO's experiments (Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870) for lower losses with g_yy = 2I, the sum
of squares of policy evaluation:

    y = 0;  for j = 1, ..., k + 1:  y <- y - g_y(x, y; sample j) / (2 j)      the mean of k + 1 samples of y*(x)
    z = f_y(x, y) / 2
    x+ = W x - alpha (f_x(x, y) - g_xy(x, y, z))

y never leaves its agent, and K iterations cost K^2/2 samples. y_i is the minimiser of agent i's own g: x goes to the solution only
where g_xy is the same on all agents and f_y is linear in y, as in policy evaluation with a common transition law; and, with
the plain row `dgd`, as far as a constant step goes. A problem whose g_yy is not 2I is refused; one that does not define
g_yy is taken at its word.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..errors import UserError
from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    m: Any


@dataclass(frozen=True, kw_only=True)
class Dsgd(Method):
    """Double loop for policy evaluation: k + 1 samples for y in iteration k; only where g_yy = 2I."""

    levels: ClassVar[dict[str, str]] = {"x": "upper"}
    source: ClassVar[str] = "the double-loop baseline of Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870"
    needs = ("g_y", "f_y", "f_x", "g_xy")

    upper: Strategy = STRATEGIES["dgd"]
    alpha: Schedule = Power(0.01)

    def accept(self, oracle: Oracle, x: Array, y: Array) -> None:
        v = np.random.default_rng(0).standard_normal(len(y)).astype(y.dtype)
        x, y, v = (oracle.backend.array(part) for part in (x, y, v))
        for i, problem in enumerate(oracle.problems):
            if getattr(problem, "g_yy", None) is not None:
                got = problem.g_yy(x, y, v, None)
                if np.shape(got) != v.shape or not abs(got - 2 * v).max() < 1e-5 * abs(v).max():
                    raise UserError(f"method.name: dsgd takes g_yy = 2I for granted, the sum of squares of policy evaluation, and that of "
                                    f"problem {type(problem).__name__}, agent {oracle.agents.first + i}, is not; choose another method")

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, self.upper.start(x))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        x, y, m = state

        y = 0 * y
        for j in range(1, k + 2):
            y = y - oracle.draw(k, phase=j).g_y(x, y) / (2 * j)
        o = oracle.draw(k)
        z = o.f_y(x, y) / 2
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        x, m = W.x @ self.upper(x, self.alpha(k) * u, m)
        return State(x, y, m)

"""LoPA: x for all agents, a lower level for each by itself.

Niu, Xu, Sun, Huang, Chai, JMLR 26(76) 2025, arXiv 2312.14690. PERSONALISED: agent i solves its own lower problem,

    min_x (1/n) sum_i f_i(x, y_i*(x)),    y_i*(x) = argmin_y g_i(x, y),

which is another problem than that of one y for the network; the two agree where all g_i do. y_i and z_i never leave
their agent; every direction at iterate k and one sample:

    y+ = y - beta g_y(x, y)
    z+ = z - gamma (g_yy(x, y, z) - f_y(x, y))
    r+ = (1 - theta) r + theta (f_x(x, y) - g_xy(x, y, z))
    x+ = U-step(x, alpha r+)

LoPA-LG has the row `dgd` for U, x+ = W x - alpha r+, and is biased under heterogeneity; LoPA-GT, `upper = "gt"`, is the row
`non-gt` and is not. Figures of merit are taken at each agent's own y_i.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Memories, Method
from .schedules import Power, Schedule
from .sparkle import State
from .strategies import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class Lopa(Method):
    """LoPA-LG, and with `upper = "gt"` LoPA-GT: a lower variable for each agent, x alone is agreed upon."""

    levels: ClassVar[dict[str, str]] = {"x": "upper"}
    personalised: ClassVar[bool] = True
    source: ClassVar[str] = "Niu et al., JMLR 26(76) 2025, arXiv 2312.14690"
    claims: ClassVar[Claims] = Claims("BGD", "K^-1/2", "e^-2", "(p + q)/e^2", "-", True)
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    upper: Strategy = STRATEGIES["dgd"]
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    def strategies(self) -> dict[str, Strategy]:
        """That of x; gt is the paper's, which is the row non-gt."""
        return {"x": STRATEGIES["non-gt"] if self.upper.name == "gt" else self.upper}

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, 0 * y, 0 * x, Memories(x=self.strategies()["x"].start(x)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)
        x, y, z, r, m = state

        o = oracle.draw(k)
        v = o.g_y(x, y)
        p = o.g_yy(x, y, z) - o.f_y(x, y)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        y, z, r = y - beta * v, z - gamma * p, (1 - theta) * r + theta * u
        x, mx = W.x @ self.strategies()["x"](x, alpha * r, m.x)
        return State(x, y, z, r, Memories(x=mx))

    def heads(self, o: Oracle, x: Any, y: Any, state: State) -> Array:
        return state.y

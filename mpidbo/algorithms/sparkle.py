"""SPARKLE: bias corrected at every level by a strategy of its own.

Zhu et al., NeurIPS 2024, arXiv 2411.14166, Algorithm 1. L is the strategy of the lower level y and of the
auxiliary level z, U that of the upper level x; all start at 0 or at the problem's start.

    v = g_y(x, y)                                  y+ = L-step(y, beta v)
    p = g_yy(x, y+, z) - f_y(x, y+)                z+ = L-step(z, gamma p)
    u = f_x(x, y+) - g_xy(x, y+, z+)               r+ = (1 - theta) r + theta u
                                                   x+ = U-step(x, alpha r+)

in `gauss-seidel` order with a sample for each of v, p, u: one sample for all would leave a bias, since z+ already
holds its noise. In `jacobi` order every oracle is at (x, y, z) of iteration k and at one sample; the fixed point is the
same, and all levels travel in one message.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Memories, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    z: Array
    r: Array
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Sparkle(Method):
    """SPARKLE-L-U with L = `lower` and U = `upper`."""

    source: ClassVar[str] = "Zhu et al., NeurIPS 2024, arXiv 2411.14166, Algorithm 1"
    claims: ClassVar[Claims | None] = Claims("none", "(nK)^-1/2", "1/(n e^2)", "(ap + q)/(n e^2), a: relative sparsity of W_x",
                                             "ed, extra: n^3/(1-rho)^2; gt: max{n^3/(1-rho)^2, n/(1-rho)^(8/3)}", True)
    heeds_steps: ClassVar[bool] = True
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["ed"]
    upper: Strategy = STRATEGIES["ed"]
    schedule: Literal["gauss-seidel", "jacobi"] = "gauss-seidel"
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    def start(self, x: Array, y: Array) -> State:
        z = 0 * y
        return State(x, y, z, 0 * x, Memories(self.upper.start(x), self.lower.start(y), self.lower.start(z)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        return (self.gauss_seidel if self.schedule == "gauss-seidel" else self.jacobi)(k, oracle, W, *state)

    def gauss_seidel(self, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, z: Any, r: Any, m: Memories) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)

        o = oracle.draw(k, phase=0)
        v = o.g_y(x, y)
        y, my = W.y @ self.lower(y, beta * v, m.y)

        o = oracle.draw(k, phase=1)
        p = o.g_yy(x, y, z) - o.f_y(x, y)
        z, mz = W.z @ self.lower(z, gamma * p, m.z)

        o = oracle.draw(k, phase=2)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        r = (1 - theta) * r + theta * u
        x, mx = W.x @ self.upper(x, alpha * r, m.x)
        return State(x, y, z, r, Memories(mx, my, mz))

    def jacobi(self, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, z: Any, r: Any, m: Memories) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)

        o = oracle.draw(k)
        v = o.g_y(x, y)
        p = o.g_yy(x, y, z) - o.f_y(x, y)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        r = (1 - theta) * r + theta * u
        (x, mx), (y, my), (z, mz) = W @ (
            self.upper(x, alpha * r, m.x), self.lower(y, beta * v, m.y), self.lower(z, gamma * p, m.z))
        return State(x, y, z, r, Memories(mx, my, mz))

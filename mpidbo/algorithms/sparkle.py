"""SPARKLE-L-U: any strategy at any level.

Zhu et al., NeurIPS 2024, arXiv 2411.14166, Algorithm 1. L is the strategy of the lower level y and
of the auxiliary level z, U that of the upper level x; all start at 0 or at the problem's start.

    v = g_y(x, y)                                  y+ = L-step(y, beta v)
    p = g_yy(x, y+, z) - f_y(x, y+)                z+ = L-step(z, gamma p)
    u = f_x(x, y+) - g_xy(x, y+, z+)               r+ = (1 - theta) r + theta u
                                                   x+ = U-step(x, alpha r+)

in `gauss-seidel` order with a sample for each of v, p, u: one sample for all would leave a bias,
since z+ already contains its noise. In `jacobi` order every oracle is at (x, y, z) of iteration k
and at one sample; the fixed point is the same, and all levels travel in one message.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Complexity, Memories, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    z: Float[Array, "m q"]
    r: Float[Array, "m p"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Sparkle(Method):
    """SPARKLE-L-U with L = `lower` and U = `upper`.

    Parameters
    ----------
    lower, upper : Strategy, default ed
        The strategies of y and z, and of x.
    schedule : {"gauss-seidel", "jacobi"}, default "gauss-seidel"
        Whether each level uses the new iterates of those before it.
    theta : Schedule, default 0.2
        The weight of the moving average r of the hypergradient.
    """

    source: ClassVar[str] = "Zhu et al., NeurIPS 2024, arXiv 2411.14166, Algorithm 1"
    complexity: ClassVar[Complexity | None] = Complexity(
        "none",
        "(nK)^-1/2",
        "1/(n e^2)",
        "(ap + q)/(n e^2), a: relative sparsity of W_x",
        "ed, extra: n^3/(1-rho)^2; gt: max{n^3/(1-rho)^2, n/(1-rho)^(8/3)}",
        True,
    )
    uses_problem_steps: ClassVar[bool] = True
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["ed"]
    upper: Strategy = STRATEGIES["ed"]
    schedule: Literal["gauss-seidel", "jacobi"] = "gauss-seidel"
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        z = 0 * y
        m = Memories(self.upper.start(x), self.lower.start(y), self.lower.start(z))
        return State(x, y, z, 0 * x, m)

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return state.r

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        if self.schedule == "gauss-seidel":
            return self.gauss_seidel(k, oracle, W, state)
        return self.jacobi(k, oracle, W, state)

    def gauss_seidel(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)
        x, y, z, r, m = state

        # v, p and u are not named, so that long vectors are freed before the next message.
        o = oracle.draw(k, phase=0)
        y, my = W.y @ self.lower(y, beta * o.g_y(x, y), m.y)

        o = oracle.draw(k, phase=1)
        z, mz = W.z @ self.lower(z, gamma * (o.g_yy(x, y, z) - o.f_y(x, y)), m.z)

        o = oracle.draw(k, phase=2)
        r = (1 - theta) * r + theta * (o.f_x(x, y) - o.g_xy(x, y, z))
        x, mx = W.x @ self.upper(x, alpha * r, m.x)
        return State(x, y, z, r, Memories(mx, my, mz))

    def jacobi(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)
        x, y, z, r, m = state

        o = oracle.draw(k)
        v = o.g_y(x, y)
        p = o.g_yy(x, y, z) - o.f_y(x, y)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        r = (1 - theta) * r + theta * u
        (x, mx), (y, my), (z, mz) = W @ (
            self.upper(x, alpha * r, m.x),
            self.lower(y, beta * v, m.y),
            self.lower(z, gamma * p, m.z),
        )
        return State(x, y, z, r, Memories(mx, my, mz))

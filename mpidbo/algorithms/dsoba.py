"""D-SOBA: one loop, every direction at iterate k, plain gossip.

Kong et al., JMLR 26(240) 2025, arXiv 2402.03167. One sample an iteration; x moves with the old r, so that its first step
is zero (the paper writes h for r):

    x+ = W(x - alpha r)
    y+ = W(y - beta g_y(x, y))
    z+ = W(z - gamma (g_yy(x, y, z) - f_y(x, y)))
    r+ = (1 - theta) r + theta (f_x(x, y) - g_xy(x, y, z))

Any strategy may stand in for the row W(. - .), which is `sgd`. `variant = "first-order"` (*scheme reconstructed*) takes
the products from differences of gradients at the same sample, d = `delta`:

    central:  g_yy z ~ [g_y(x, y + d z) - g_y(x, y - d z)] / (2 d),   g_xy z alike with g_x; exact for every g quadratic in y
    forward:  g_yy z ~ [g_y(x, y + d z) - g_y(x, y)] / d;  one more gradient only

d is 1e-5 in float64 and 1e-2 / max(|z_i|, 1) in float32 unless given. Under heterogeneity `sgd` leaves a bias.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Memories, Method
from .schedules import Power, Schedule
from .sparkle import State
from .strategies import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class DSoba(Method):
    """D-SOBA, second or first order."""

    heeds_steps: ClassVar[bool] = True
    source: ClassVar[str] = "Kong et al., JMLR 26(240) 2025, arXiv 2402.03167, Algorithm 1"
    claims: ClassVar[Claims] = Claims("BGD", "(nK)^-1/2", "1/(n e^2)", "(p + q)/(n e^2)",
                                      "max{n^3/(1-rho)^2, n^3 b^2/(1-rho)^4}", True)

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    variant: Literal["second-order", "first-order"] = "second-order"
    scheme: Literal["central", "forward"] = "central"
    delta: float | None = None
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("g_y", "f_y", "f_x", *(("g_yy", "g_xy") if self.variant == "second-order" else ("g_x",)))

    def start(self, x: Array, y: Array) -> State:
        z = 0 * y
        return State(x, y, z, 0 * x, Memories(self.upper.start(x), self.lower.start(y), self.lower.start(z)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)
        x, y, z, r, m = state

        o = oracle.draw(k)
        v = o.g_y(x, y)
        Hz, Jz = self.products(o, x, y, z, v)
        p = Hz - o.f_y(x, y)
        u = o.f_x(x, y) - Jz
        (x, mx), (y, my), (z, mz) = W @ (
            self.upper(x, alpha * r, m.x), self.lower(y, beta * v, m.y), self.lower(z, gamma * p, m.z))
        r = (1 - theta) * r + theta * u
        return State(x, y, z, r, Memories(mx, my, mz))

    def products(self, o: Oracle, x: Any, y: Any, z: Any, v: Any) -> tuple[Array, Array]:
        """g_yy z and g_xy z, or their differences of first order."""
        if self.variant == "second-order":
            return o.g_yy(x, y, z), o.g_xy(x, y, z)
        d = self.difference(z)
        if self.scheme == "forward":
            return (o.g_y(x, y + d * z) - v) / d, (o.g_x(x, y + d * z) - o.g_x(x, y)) / d
        return ((o.g_y(x, y + d * z) - o.g_y(x, y - d * z)) / (2 * d),
                (o.g_x(x, y + d * z) - o.g_x(x, y - d * z)) / (2 * d))

    def difference(self, z: Any) -> Any:
        """The difference d, a number or one for each agent (m, 1)."""
        if self.delta is not None:
            return self.delta
        if z.dtype == np.float64:
            return 1e-5
        return 1e-2 / abs(z).max(axis=1, keepdims=True).clip(1)

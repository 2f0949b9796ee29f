"""D-SOBA: one loop, every direction at iterate k, plain gossip.

Kong et al., JMLR 26(240) 2025, arXiv 2402.03167. One sample an iteration; x moves with the old r,
so that its first step is zero (the paper writes h for r):

    x+ = W(x - alpha r)
    y+ = W(y - beta g_y(x, y))
    z+ = W(z - gamma (g_yy(x, y, z) - f_y(x, y)))
    r+ = (1 - theta) r + theta (f_x(x, y) - g_xy(x, y, z))

Any strategy may take the place of W(. - .), which is `sgd`. `variant = "first-order"`
(*scheme reconstructed*) takes the products from differences of gradients at the same sample,
d = `delta`:

    central:  g_yy z ~ [g_y(x, y + d z) - g_y(x, y - d z)] / (2 d),   exact for g quadratic in y
    forward:  g_yy z ~ [g_y(x, y + d z) - g_y(x, y)] / d,             one gradient less

and g_xy z alike with g_x. d is 1e-5 in float64 and 1e-2 / max(|z_i|, 1) in float32 unless given.
Under heterogeneity `sgd` leaves a bias.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from .._fields import Positive
from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle, Sample
from .base import Complexity, Memories, Method
from .schedules import Power, Schedule
from .sparkle import State
from .strategies import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class DSoba(Method):
    """D-SOBA, second or first order.

    Parameters
    ----------
    lower, upper : Strategy, default sgd
        The strategies of y and z, and of x.
    variant : {"second-order", "first-order"}, default "second-order"
        Whether products come from g_yy and g_xy, or from differences of g_y and g_x.
    scheme : {"central", "forward"}, default "central"
        The differences of the first-order variant.
    delta : float, optional
        Their step d; 1e-5 in float64 and 1e-2 / max(|z_i|, 1) in float32 if left out.
    theta : Schedule, default 0.2
        The weight of the moving average r of the hypergradient.
    """

    uses_problem_steps: ClassVar[bool] = True
    source: ClassVar[str] = "Kong et al., JMLR 26(240) 2025, arXiv 2402.03167, Algorithm 1"
    complexity: ClassVar[Complexity | None] = Complexity(
        "BGD",
        "(nK)^-1/2",
        "1/(n e^2)",
        "(p + q)/(n e^2)",
        "max{n^3/(1-rho)^2, n^3 b^2/(1-rho)^4}",
        True,
    )

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    variant: Literal["second-order", "first-order"] = "second-order"
    scheme: Literal["central", "forward"] = "central"
    delta: Positive | None = None
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    @property
    def needs(self) -> tuple[str, ...]:
        products = ("g_yy", "g_xy") if self.variant == "second-order" else ("g_x",)
        return ("g_y", "f_y", "f_x", *products)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        z = 0 * y
        m = Memories(self.upper.start(x), self.lower.start(y), self.lower.start(z))
        return State(x, y, z, 0 * x, m)

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return state.r

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)
        x, y, z, r, m = state

        o = oracle.draw(k)
        v = o.g_y(x, y)
        Hz, Jz = self.products(o, x, y, z, v)
        p = Hz - o.f_y(x, y)
        u = o.f_x(x, y) - Jz
        (x, mx), (y, my), (z, mz) = W @ (
            self.upper(x, alpha * r, m.x),
            self.lower(y, beta * v, m.y),
            self.lower(z, gamma * p, m.z),
        )
        r = (1 - theta) * r + theta * u
        return State(x, y, z, r, Memories(mx, my, mz))

    def products(
        self,
        o: Sample,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        z: Float[Array, "m q"],
        v: Float[Array, "m q"],
    ) -> tuple[Float[Array, "m q"], Float[Array, "m p"]]:
        """Return g_yy z and g_xy z, or the differences in their place; v is g_y at (x, y)."""
        if self.variant == "second-order":
            return o.g_yy(x, y, z), o.g_xy(x, y, z)
        d = self.difference(z)
        ahead = y + d * z
        if self.scheme == "forward":
            return (o.g_y(x, ahead) - v) / d, (o.g_x(x, ahead) - o.g_x(x, y)) / d
        behind = y - d * z
        return (
            (o.g_y(x, ahead) - o.g_y(x, behind)) / (2 * d),
            (o.g_x(x, ahead) - o.g_x(x, behind)) / (2 * d),
        )

    def difference(self, z: Float[Array, "m q"]) -> float | Float[Array, "m 1"]:
        """Return the step d of the differences, one number or one for each agent."""
        if self.delta is not None:
            return self.delta
        if z.dtype == np.float64:
            return 1e-5
        return 1e-2 / abs(z).max(axis=1, keepdims=True).clip(1)

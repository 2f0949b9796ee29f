"""SLDBO: one loop, gradient tracking at every level, the auxiliary level projected on a ball.

Dong, Ma, Yang, Yin, arXiv 2311.08945. *Reconstructed*: its tracker is taken to be `non-gt`, the one
of the same group's DSBO and MA-DSBO, and every direction at iterate k, as in SOBA. x moves by the
newest direction, without an average r:

    x+ = U-step(x, alpha (f_x(x, y) - g_xy(x, y, z)))
    y+ = L-step(y, beta g_y(x, y))
    z+ = P(L-step(z, gamma (g_yy(x, y, z) - f_y(x, y))))

where P is the nearest point of the ball of radius R.

P comes after the exchange: it moves z alone, and the tracker, whose mean is that of the directions
wherever z is, never sees it. `ed` and `extra` keep that mean in z itself and are refused at the
lower levels. With R above |z*| the limit is the solution; below, z tends to the best point of the
ball and x is biased.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .._fields import Positive
from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Oracle
from .base import Memories, Method, last_direction, project_ball
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    z: Float[Array, "m q"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Sldbo(Method):
    """SLDBO: SPARKLE with gradient tracking, theta = 1, and z in the ball of radius `R`.

    Parameters
    ----------
    lower, upper : Strategy, default non-gt
        The strategies of y and z, and of x; not ed or extra at the lower level.
    R : float, default 1000.0
        The radius of the ball, above the norm of z*.
    """

    source: ClassVar[str] = (
        "Dong, Ma, Yang, Yin, arXiv 2311.08945 (its tracker and order reconstructed)"
    )
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["non-gt"]
    upper: Strategy = STRATEGIES["non-gt"]
    R: Positive = 1000.0
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        if self.lower.drifts:
            raise UserError(
                f"method.lower: {self.lower} loses its correction where z is projected; "
                f"take gradient tracking, such as non-gt, or sparkle-{self.lower}"
            )

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        z = 0 * y
        m = Memories(self.upper.start(x), self.lower.start(y), self.lower.start(z))
        return State(x, y, z, m)

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return last_direction(state.m.x, self.alpha(k - 1))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        x, y, z, m = state

        o = oracle.draw(k)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        v = o.g_y(x, y)
        p = o.g_yy(x, y, z) - o.f_y(x, y)
        (x, mx), (y, my), (z, mz) = W @ (
            self.upper(x, alpha * u, m.x),
            self.lower(y, beta * v, m.y),
            self.lower(z, gamma * p, m.z),
        )
        return State(x, y, project_ball(z, self.R), Memories(mx, my, mz))

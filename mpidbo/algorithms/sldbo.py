"""SLDBO: one loop, gradient tracking at every level, the auxiliary level projected on a ball.

Dong, Ma, Yang, Yin, arXiv 2311.08945. *Reconstructed*: its tracker is taken to be `non-gt`, the one of the same group's
DSBO and MA-DSBO, and every direction at iterate k, as in SOBA. x moves by the newest direction, without an average r:

    x+ = U-step(x, alpha (f_x(x, y) - g_xy(x, y, z)))
    y+ = L-step(y, beta g_y(x, y))
    z+ = P(L-step(z, gamma (g_yy(x, y, z) - f_y(x, y))))          P: the nearest point of the ball of radius R

P comes after the exchange: it moves z alone, and the tracker, whose mean is that of the directions wherever z is, never
sees it. `ed` and `extra` keep that mean in z itself and are refused at the lower levels. With R above |z*| the limit is
the solution; below, z tends to the best point of the ball and x is biased.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..errors import UserError
from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Memories, Method, ball
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    z: Array
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Sldbo(Method):
    """SLDBO: SPARKLE with gradient tracking, theta = 1, and z in the ball of radius `R`."""

    source: ClassVar[str] = "Dong, Ma, Yang, Yin, arXiv 2311.08945 (its tracker and order reconstructed)"
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["non-gt"]
    upper: Strategy = STRATEGIES["non-gt"]
    R: float = 1000.0
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        if self.lower.name in ("ed", "extra"):
            raise UserError(f"method.lower: {self.lower} loses its correction where z is projected; take a gt row, or sparkle-{self.lower}")

    def start(self, x: Array, y: Array) -> State:
        z = 0 * y
        return State(x, y, z, Memories(self.upper.start(x), self.lower.start(y), self.lower.start(z)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        x, y, z, m = state

        o = oracle.draw(k)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        v = o.g_y(x, y)
        p = o.g_yy(x, y, z) - o.f_y(x, y)
        (x, mx), (y, my), (z, mz) = W @ (
            self.upper(x, alpha * u, m.x), self.lower(y, beta * v, m.y), self.lower(z, gamma * p, m.z))
        return State(x, y, ball(z, self.R), Memories(mx, my, mz))

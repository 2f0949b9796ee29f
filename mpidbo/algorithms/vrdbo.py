"""VRDBO: MDBO with variance reduction.

Gao, Gu, Thai, AISTATS 2023, arXiv 2206.15025. (x-, y-) is the point before (x, y), at first (x, y) itself; the estimates at both
are at the same samples and the same Jt:

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

    U+ = (1 - theta) (U + Ft(x, y) - Ft(x-, y-)) + theta Ft(x, y)               V+ alike with g_y
    X+ = W X + U+ - U                               Y+ = W Y + V+ - V
    x+ = x - eta (I - W) x - alpha X+               y+ = y - eta (I - W) y - beta Y+

U, V, X, Y begin as the first estimates. It goes where MDBO goes, which under heterogeneity is not the solution.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims
from .mdbo import Mdbo
from .schedules import Power, Schedule


class State(NamedTuple):
    x: Array
    y: Array
    before: tuple[Array, Array]
    U: Array
    V: Array
    X: Array
    Y: Array


@dataclass(frozen=True, kw_only=True)
class Vrdbo(Mdbo):
    """VRDBO, with J terms of the Neumann series and the consensus step `eta`; theta is 5 eta^2 in the paper."""

    claims: ClassVar[Claims | None] = None

    eta: float = 0.33
    theta: Schedule = Power(5 * 0.33**2)

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, (x, y), 0 * x, 0 * y, 0 * x, 0 * y)

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> State:
        alpha, beta, theta = self.alpha(k), self.beta(k), self.theta(k) if k else 1
        x, y, before, U, V, X, Y = state

        o = oracle.draw(k)
        v, v_before = o.g_y(x, y), o.g_y(*before)
        u, u_before = self.hypergradients(oracle, k, 1, (x, y), before)
        u, v = (1 - theta) * (U + u - u_before) + theta * u, (1 - theta) * (V + v - v_before) + theta * v
        before = x, y
        (x, X), (y, Y) = W @ (self.tracked(x, alpha, X, u - U), self.tracked(y, beta, Y, v - V))
        return State(x, y, before, u, v, X, Y)

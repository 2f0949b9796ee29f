"""VRDBO: MDBO with variance reduction.

Gao, Gu, Thai, AISTATS 2023, arXiv 2206.15025. (x-, y-) is the point before (x, y), at first (x, y)
itself; the estimates at both are at the same samples and the same Jt:

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

    U+ = (1 - theta) (U + Ft(x, y) - Ft(x-, y-)) + theta Ft(x, y)               V+ alike with g_y
    X+ = W X + U+ - U                               Y+ = W Y + V+ - V
    x+ = x - eta (I - W) x - alpha X+               y+ = y - eta (I - W) y - beta Y+

U, V, X, Y begin as the first estimates. It has the limit of MDBO, which under heterogeneity is not
the solution.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .._fields import Positive
from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Complexity
from .mdbo import Mdbo
from .schedules import Power, Schedule


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    before: tuple[Float[Array, "m p"], Float[Array, "m q"]]
    U: Float[Array, "m p"]
    V: Float[Array, "m q"]
    X: Float[Array, "m p"]
    Y: Float[Array, "m q"]


@dataclass(frozen=True, kw_only=True)
class Vrdbo(Mdbo):
    """VRDBO, with J terms of the Neumann series and the consensus step size `eta`.

    Parameters
    ----------
    J : int, default 10
        Terms of the Neumann series.
    L : float, optional
        The scale of g_yy, at least its largest eigenvalue; estimated at the start if left out.
    eta : float, default 0.33
        The step size towards the neighbours' average, at most 1.
    theta : Schedule, default 0.5445
        The weight of the newest estimates; 5 eta^2 in the paper.
    """

    complexity: ClassVar[Complexity | None] = None

    eta: Positive = 0.33
    theta: Schedule = Power(5 * 0.33**2)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, (x, y), 0 * x, 0 * y, 0 * x, 0 * y)

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> State:
        alpha, beta = self.alpha(k), self.beta(k)
        theta = self.theta(k) if k > 0 else 1  # the averages begin as the first estimates
        x, y, before, U, V, X, Y = state

        o = oracle.draw(k)
        v, v_before = o.g_y(x, y), o.g_y(*before)
        u, u_before = self.hypergradients(oracle, k, 1, (x, y), before)
        U_new = (1 - theta) * (U + u - u_before) + theta * u
        V_new = (1 - theta) * (V + v - v_before) + theta * v
        before = x, y
        (x, X), (y, Y) = W @ (
            self.tracked(x, alpha, X, U_new - U),
            self.tracked(y, beta, Y, V_new - V),
        )
        return State(x, y, before, U_new, V_new, X, Y)

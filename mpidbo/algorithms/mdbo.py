"""MDBO: momentum and gradient tracking on a hypergradient of local Hessians.

Gao, Gu, Thai, AISTATS 2023, arXiv 2206.15025. Ft is that of mpidbo/algorithms/neumann.py, whose
samples are not those of g_y:

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

    U+ = (1 - theta) U + theta Ft(x, y)             V+ = (1 - theta) V + theta g_y(x, y)
    X+ = W X + U+ - U                               Y+ = W Y + V+ - V
    x+ = x - eta (I - W) x - alpha X+               y+ = y - eta (I - W) y - beta Y+

U, V, X, Y begin as the first estimates. alpha, beta, theta are the paper's products of a constant
and eta. An agent inverts its own Hessian: x goes where the agents' mean of f_x - g_xy H_J f_y
vanishes, which is the solution only where agents are alike and J is large. With constant step sizes
x keeps moving about that point, by Jt even without noise.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .._fields import Positive
from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Oracle
from .base import Complexity
from .neumann import Neumann
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Step, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    U: Float[Array, "m p"]
    V: Float[Array, "m q"]
    X: Float[Array, "m p"]
    Y: Float[Array, "m q"]


@dataclass(frozen=True, kw_only=True)
class Mdbo(Neumann):
    """MDBO, with J terms of the Neumann series and the consensus step size `eta`.

    Parameters
    ----------
    J : int, default 10
        Terms of the Neumann series.
    L : float, optional
        The scale of g_yy, at least its largest eigenvalue; estimated at the start if left out.
    eta : float, default 0.1
        The step size towards the neighbours' average, at most 1; 1 is the strategy non-gt.
    theta : Schedule, default 0.1
        The weight of the averages U and V.
    """

    source: ClassVar[str] = "Gao, Gu, Thai, AISTATS 2023, arXiv 2206.15025"
    complexity: ClassVar[Complexity | None] = Complexity(
        "BG", "(nK)^-1/2", "log(1/e)/(n e^2)", "(p + q)/(n e^2)", "n^3/(1-rho)^8", False
    )

    lower: ClassVar[Strategy] = STRATEGIES["non-gt"]
    upper: ClassVar[Strategy] = STRATEGIES["non-gt"]
    eta: Positive = 0.1
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    theta: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        if self.eta > 1:
            raise UserError(
                f"method.eta: {self.eta:g} goes beyond the neighbours' average; give at most 1"
            )
        if self.theta.largest > 1:
            raise UserError(
                f"steps.theta: {self.theta.largest:g} is not a weight of an average; give at most 1"
            )

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Any:
        return State(x, y, 0 * x, 0 * y, 0 * x, 0 * y)

    def estimate(self, k: int, state: Any) -> Float[Array, "m p"] | None:
        return state.U

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> Any:
        alpha, beta = self.alpha(k), self.beta(k)
        theta = self.theta(k) if k > 0 else 1  # the averages begin as the first estimates
        x, y, U, V, X, Y = state

        v = oracle.draw(k).g_y(x, y)
        (u,) = self.hypergradients(oracle, k, 1, (x, y))
        U_new = (1 - theta) * U + theta * u
        V_new = (1 - theta) * V + theta * v
        (x, X), (y, Y) = W @ (
            self.tracked(x, alpha, X, U_new - U),
            self.tracked(y, beta, Y, V_new - V),
        )
        return State(x, y, U_new, V_new, X, Y)

    def tracked(
        self,
        s: Float[Array, "m d"],
        step: float,
        S: Float[Array, "m d"],
        change: Float[Array, "m d"],
    ) -> Step:
        """(x+, X+), with `change` = U+ - U; or (y+, Y+)."""
        Ws, WS = yield s, S
        S = WS + change
        return s - self.eta * (s - Ws) - step * S, S

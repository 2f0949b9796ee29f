"""MDBO: momentum and gradient tracking on a hypergradient of local Hessians.

Gao, Gu, Thai, AISTATS 2023, arXiv 2206.15025. Ft is that of mpidbo/algorithms/neumann.py, whose samples are not g_y's:

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

    U+ = (1 - theta) U + theta Ft(x, y)             V+ = (1 - theta) V + theta g_y(x, y)
    X+ = W X + U+ - U                               Y+ = W Y + V+ - V
    x+ = x - eta (I - W) x - alpha X+               y+ = y - eta (I - W) y - beta Y+

U, V, X, Y begin as the first estimates. alpha, beta, theta are the paper's products of a constant and eta. An agent
inverts its own Hessian: x goes where the agents' mean of f_x - g_xy H_J f_y vanishes, which is the solution only where
agents are alike and J is large. With constant steps x keeps moving about that point, by Jt even without noise.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..errors import UserError
from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims
from .neumann import Neumann
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Step, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    U: Array
    V: Array
    X: Array
    Y: Array


@dataclass(frozen=True, kw_only=True)
class Mdbo(Neumann):
    """MDBO, with J terms of the Neumann series and the consensus step `eta`; row non-gt is that of eta = 1."""

    source: ClassVar[str] = "Gao, Gu, Thai, AISTATS 2023, arXiv 2206.15025"
    claims: ClassVar[Claims | None] = Claims("BG", "(nK)^-1/2", "log(1/e)/(n e^2)", "(p + q)/(n e^2)", "n^3/(1-rho)^8", False)

    lower: ClassVar[Strategy] = STRATEGIES["non-gt"]
    upper: ClassVar[Strategy] = STRATEGIES["non-gt"]
    eta: float = 0.1
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    theta: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        if self.eta > 1:
            raise UserError(f"method.eta: {self.eta:g} goes beyond the neighbours' average; give at most 1")
        if self.theta.start > 1:
            raise UserError(f"steps.theta: {self.theta.start:g} is no weight of an average; give at most 1")

    def start(self, x: Array, y: Array) -> Any:
        return State(x, y, 0 * x, 0 * y, 0 * x, 0 * y)

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> Any:
        alpha, beta, theta = self.alpha(k), self.beta(k), self.theta(k) if k else 1
        x, y, U, V, X, Y = state

        v = oracle.draw(k).g_y(x, y)
        u, = self.hypergradients(oracle, k, 1, (x, y))
        u, v = (1 - theta) * U + theta * u, (1 - theta) * V + theta * v
        (x, X), (y, Y) = W @ (self.tracked(x, alpha, X, u - U), self.tracked(y, beta, Y, v - V))
        return State(x, y, u, v, X, Y)

    def tracked(self, s: Array, step: float, S: Array, change: Array) -> Step:
        """(x+, X+), with `change` = U+ - U; or (y+, Y+)."""
        Ws, WS = yield s, S
        S = WS + change
        return s - self.eta * (s - Ws) - step * S, S

"""SLAM: an augmented Lagrangian at both levels, on a hypergradient of local Hessians.

Lu et al., NeurIPS 2022; *reconstructed*. Its linearised augmented Lagrangian
s+ = W s - u - l, l+ = l + (I - W) s+ is the strategy `extra` of mpidbo/algorithms/strategies.py,
here with both directions at iterate k:

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

    y+ = L-step(y, beta g_y(x, y))                  x+ = U-step(x, alpha Ft(x, y))

Ft is that of mpidbo/algorithms/neumann.py, whose samples are not those of g_y. Any strategy may
take the place of `extra`. Like MDBO, x goes where the agents' mean of f_x - g_xy H_J f_y vanishes,
which under heterogeneity is not the solution.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Complexity, Memories, last_direction
from .neumann import Neumann
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Slam(Neumann):
    """SLAM, with J terms of the Neumann series (reconstructed).

    Parameters
    ----------
    J : int, default 10
        Terms of the Neumann series.
    L : float, optional
        The scale of g_yy, at least its largest eigenvalue; estimated at the start if left out.
    lower, upper : Strategy, default extra
        The strategies of y and of x.
    """

    source: ClassVar[str] = "Lu et al., NeurIPS 2022 (reconstructed)"
    complexity: ClassVar[Complexity | None] = Complexity(
        "LC", "(nK)^-1/2", "log(1/e)/(n e^2)", "(p + q)/(n e^2)", "-", False
    )

    lower: Strategy = STRATEGIES["extra"]
    upper: Strategy = STRATEGIES["extra"]
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, Memories(self.upper.start(x), self.lower.start(y)))

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return last_direction(state.m.x, self.alpha(k - 1))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta = self.alpha(k), self.beta(k)
        x, y, m = state

        v = oracle.draw(k).g_y(x, y)
        (u,) = self.hypergradients(oracle, k, 1, (x, y))
        (x, mx), (y, my) = W @ (
            self.upper(x, alpha * u, m.x),
            self.lower(y, beta * v, m.y),
        )
        return State(x, y, Memories(mx, my))

"""SLAM: an augmented Lagrangian at both levels, on a hypergradient of local Hessians.

Lu et al., NeurIPS 2022; *reconstructed*. Its linearised augmented Lagrangian s+ = W s - u - l, l+ = l + (I - W) s+ is the row
`extra` of mpidbo/algorithms/strategies.py, here with both directions at iterate k:

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

    y+ = L-step(y, beta g_y(x, y))                  x+ = U-step(x, alpha Ft(x, y))

Ft is that of mpidbo/algorithms/neumann.py, whose samples are not g_y's. Any strategy may stand for `extra`. Like MDBO, x goes where the
agents' mean of f_x - g_xy H_J f_y vanishes, which under heterogeneity is not the solution.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Memories
from .neumann import Neumann
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Slam(Neumann):
    """SLAM, with J terms of the Neumann series (reconstructed)."""

    source: ClassVar[str] = "Lu et al., NeurIPS 2022 (reconstructed)"
    claims: ClassVar[Claims] = Claims("LC", "(nK)^-1/2", "log(1/e)/(n e^2)", "(p + q)/(n e^2)", "-", False)

    lower: Strategy = STRATEGIES["extra"]
    upper: Strategy = STRATEGIES["extra"]
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, Memories(self.upper.start(x), self.lower.start(y)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> State:
        x, y, m = state
        v = oracle.draw(k).g_y(x, y)
        u, = self.hypergradients(oracle, k, 1, (x, y))
        (x, mx), (y, my) = W @ (self.upper(x, self.alpha(k) * u, m.x), self.lower(y, self.beta(k) * v, m.y))
        return State(x, y, Memories(mx, my))

"""DBSA: ever more steps on y, then one on x by a hypergradient of local Hessians; plain gossip.

The decentralized baseline of Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870, after Ghadimi and Wang's BSA, arXiv 1802.02246;
*reconstructed*. At iteration k, each step on y with a sample of its own:

    ceil(sqrt(k + 1)) times    y <- W y - beta g_y(x, y)
    x+ = W x - alpha Ft(x, y),    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

Ft is that of mpidbo/algorithms/neumann.py; J is the number b of Hessian samples in the paper's comparison. The later the iteration, the
more it sends. Under heterogeneity it is biased twice: by local inverses, and at both levels by plain gossip.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any, ClassVar, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array
from .neumann import Neumann
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Dbsa(Neumann):
    """DBSA, a double loop with J terms of the Neumann series (reconstructed)."""

    source: ClassVar[str] = "the baseline of Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870 (reconstructed)"

    lower: ClassVar[Strategy] = STRATEGIES["dgd"]
    upper: ClassVar[Strategy] = STRATEGIES["dgd"]
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def floats(self, dims: tuple[int, int], k: int = 1) -> int:
        p, q = dims
        return p + (isqrt(k) + 1) * q

    def start(self, x: Array, y: Array) -> State:
        return State(x, y)

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> State:
        alpha, beta, T = self.alpha(k), self.beta(k), isqrt(k) + 1                        # T = ceil(sqrt(k + 1))
        x, y = state
        for t in range(T):
            v = oracle.draw(k, t).g_y(x, y)
            y = W.y @ y - beta * v
        u, = self.hypergradients(oracle, k, T, (x, y))
        return State(W.x @ x - alpha * u, y)

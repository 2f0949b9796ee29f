"""DBSA: more and more steps on y, then one on x by a hypergradient of local Hessians; plain gossip.

The decentralized baseline of Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870, after Ghadimi and
Wang's BSA, arXiv 1802.02246; *reconstructed*. At iteration k, each step on y with a sample of its
own:

    ceil(sqrt(k + 1)) times    y <- W y - beta g_y(x, y)
    x+ = W x - alpha Ft(x, y)

    Ft = f_x - g_xy [(J/L) prod_{j<=Jt} (I - g_yy(zeta_j)/L) f_y],    Jt uniform in {0, ..., J-1}

Ft is that of mpidbo/algorithms/neumann.py; J is the number b of Hessian samples in the paper's
comparison. The later the iteration, the more it sends. Under heterogeneity it is biased twice: by
local inverses, and at both levels by plain gossip.
"""

from dataclasses import dataclass
from math import isqrt
from typing import ClassVar, NamedTuple

from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .neumann import Neumann
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]


@dataclass(frozen=True, kw_only=True)
class Dbsa(Neumann):
    """DBSA, a double loop with J terms of the Neumann series (reconstructed).

    Parameters
    ----------
    J : int, default 10
        Terms of the Neumann series.
    L : float, optional
        The scale of g_yy, at least its largest eigenvalue; estimated at the start if left out.
    """

    source: ClassVar[str] = (
        "the baseline of Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870 (reconstructed)"
    )

    lower: ClassVar[Strategy] = STRATEGIES["dgd"]
    upper: ClassVar[Strategy] = STRATEGIES["dgd"]
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def floats(self, dims: tuple[int, int], k: int = 1) -> int:
        p, q = dims
        return p + inner_steps(k) * q

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y)

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, T = self.alpha(k), self.beta(k), inner_steps(k)
        x, y = state

        for t in range(T):
            v = oracle.draw(k, phase=t).g_y(x, y)
            y = W.y @ y - beta * v
        (u,) = self.hypergradients(oracle, k, T, (x, y))
        return State(W.x @ x - alpha * u, y)


def inner_steps(k: int) -> int:
    """Return ceil(sqrt(k + 1))."""
    return isqrt(k) + 1

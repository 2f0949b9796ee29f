"""DSBO: the matrix of derivatives of y* by gradient tracking (JHIP), for small p and q.

Chen, Huang, Ma, arXiv 2206.05670. In every iteration, with matrices Z, S, D in R^{q x p} and G_yx the transpose of g_xy's,

    T times:  y <- W y - beta g_y(x, y)                                       from the last y
    Z = 0,  S = D = -G_yx;  N times:  Z+ = W Z - gamma D                      JHIP
                                      S+ = G_yy Z+ - G_yx
                                      D+ = W D + S+ - S
    u  = f_x(x, y) - Z' f_y(x, y)
    x+ = W x - alpha u

Every one of the T + N + 1 lines has a sample of its own. JHIP is N steps of the row `non-gt` from 0 for all columns of Z, which
go to the network's [g_yy]^-1 G_yx, minus the derivative of y*; it needs gamma L < (1 + lambda_min)^2/2, lambda_min the smallest
eigenvalue of W. y as in MA-DSBO, with `lower = "gt"` too, and x is biased as there. Each of the N steps calls g_yy p times and
g_xy q times.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Method
from .ma_dsbo import descended, tracking
from .matrices import assure_room, columns, eye, rows, times
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy

JHIP = STRATEGIES["non-gt"]


class State(NamedTuple):
    x: Array
    y: Array
    m: Any


@dataclass(frozen=True, kw_only=True)
class Dsbo(Method):
    """DSBO with T steps of the lower level and N of JHIP in an iteration; keeps q x p matrices, of at most `max_bytes` on a rank."""

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    source: ClassVar[str] = "Chen, Huang, Ma, arXiv 2206.05670"
    claims: ClassVar[Claims | None] = Claims("LC", "K^-1/2", "e^-3", "(pq log(1/e) + q/e)/e^2", "-", False)
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["dgd"]
    upper: Strategy = STRATEGIES["dgd"]
    T: int = 10
    N: int = 10
    max_bytes: float = 2.0**30
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)

    def strategies(self) -> dict[str, Strategy]:
        """Those of the levels; gt at y is the paper's, which is the row non-gt."""
        return super().strategies() | {"y": tracking(self.lower)}

    def floats(self, dims: tuple[int, int]) -> int:
        (p, q), row = dims, self.strategies()
        return row["x"].width * p + self.T * row["y"].width * q + self.N * JHIP.width * p * q

    def accept(self, oracle: Oracle, x: Array, y: Array) -> None:
        assure_room("dsbo", x.size * y.size, oracle, self.max_bytes)

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, self.upper.start(x))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        x, y, m = state

        y = descended(tracking(self.lower), self.T, k, oracle, W, x, y, beta)
        Z = self.jhip(k, oracle, W, x, y, gamma)
        o = oracle.draw(k, phase=self.T + self.N)
        u = o.f_x(x, y) - times(Z.swapaxes(1, 2), o.f_y(x, y))
        x, m = W.x @ self.upper(x, alpha * u, m)
        return State(x, y, m)

    def jhip(self, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, gamma: float) -> Array:
        """N steps from 0 towards the Z (m, q, p) with average G_yy Z = average G_yx."""
        (m, p), (_, q) = x.shape, y.shape
        Z = np.zeros_like(y, shape=(m, q, p))
        D = JHIP.start(rows(Z))
        for t in range(self.N):
            o = oracle.draw(k, phase=self.T + t)
            S = columns(o.g_yy, x, y, Z) - columns(o.g_xy, x, y, eye(y)).swapaxes(1, 2)
            Z, D = W.z @ JHIP(rows(Z), gamma * rows(S), D)
            Z = Z.reshape(m, q, p)
        return Z

"""DSBO: the matrix of derivatives of y* by gradient tracking (JHIP), for small p and q.

Chen, Huang, Ma, arXiv 2206.05670. In every iteration, with matrices Z, S, D in R^{q x p} and G_yx
the transpose of g_xy's matrix,

    T times:  y <- W y - beta g_y(x, y)                                       from the last y
    Z = 0,  S = D = -G_yx;  N times:  Z+ = W Z - gamma D                      JHIP
                                      S+ = G_yy Z+ - G_yx
                                      D+ = W D + S+ - S
    u  = f_x(x, y) - Z' f_y(x, y)
    x+ = W x - alpha u

Every one of the T + N + 1 lines has a sample of its own. JHIP is N steps of the strategy `non-gt`
from 0 for all columns of Z. These go to the network's [g_yy]^-1 G_yx, minus the derivative of y*;
it needs gamma L < (1 + lambda_min)^2/2, lambda_min the smallest eigenvalue of W. y as in MA-DSBO,
with `lower = "gt"` too, and x is biased as there. Each of the N steps calls g_yy p times and g_xy
q times.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._fields import Count, Positive
from .._linalg import batched_matvec
from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Complexity, Method, last_direction
from .ma_dsbo import assure_restartable, descend, papers_tracking
from .matrices import apply_to_columns, assure_room, dense, flatten
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy

JHIP = STRATEGIES["non-gt"]


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    m: Any


@dataclass(frozen=True, kw_only=True)
class Dsbo(Method):
    """DSBO with T steps of the lower level and N of JHIP in an iteration, and q x p matrices.

    Parameters
    ----------
    lower, upper : Strategy, default dgd
        The strategies of y and of x; `lower = "gt"` is the paper's gradient tracking, non-gt.
    T, N : int, default 10
        Steps on y, and on Z, in an iteration.
    max_bytes : float, default 2^30
        The memory that the matrices may take on a rank.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    source: ClassVar[str] = "Chen, Huang, Ma, arXiv 2206.05670"
    complexity: ClassVar[Complexity | None] = Complexity(
        "LC", "K^-1/2", "e^-3", "(pq log(1/e) + q/e)/e^2", "-", False
    )
    mixes_by_W: ClassVar[bool] = True
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["dgd"]
    upper: Strategy = STRATEGIES["dgd"]
    T: Count = 10
    N: Count = 10
    max_bytes: Positive = 2.0**30
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        assure_restartable(self.lower)

    def strategies(self) -> dict[str, Strategy]:
        return super().strategies() | {"y": papers_tracking(self.lower)}

    def floats(self, dims: tuple[int, int]) -> int:
        p, q = dims
        strategies = self.strategies()
        outer = strategies["x"].width * p + self.T * strategies["y"].width * q
        return outer + self.N * JHIP.width * p * q

    def accept(self, oracle: Oracle, x: Float[Array, " p"], y: Float[Array, " q"]) -> None:
        assure_room("dsbo", x.size * y.size, oracle, self.max_bytes)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, self.upper.start(x))

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return last_direction(state.m, self.alpha(k - 1))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        x, y, m = state

        y = descend(papers_tracking(self.lower), self.T, k, oracle, W, x, y, beta)
        Z = self.jhip(k, oracle, W, x, y, gamma)
        o = oracle.draw(k, phase=self.T + self.N)
        u = o.f_x(x, y) - batched_matvec(Z.swapaxes(1, 2), o.f_y(x, y))
        x, m = W.x @ self.upper(x, alpha * u, m)
        return State(x, y, m)

    def jhip(
        self,
        k: int,
        oracle: Oracle,
        W: Levels,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        gamma: float,
    ) -> Float[Array, "m q p"]:
        """Take N steps from 0 towards the Z with average G_yy Z = average G_yx."""
        (n_rows, p), (_, q) = x.shape, y.shape
        Z = np.zeros_like(y, shape=(n_rows, q, p))
        D = JHIP.start(flatten(Z))
        for t in range(self.N):
            o = oracle.draw(k, phase=self.T + t)
            if t == 0 or not o.is_full:  # g_xy of the full batch remains the same
                G = dense(o.g_xy, x, y).swapaxes(1, 2)
            S = apply_to_columns(o.g_yy, x, y, Z) - G
            mixed, D = W.z @ JHIP(flatten(Z), gamma * flatten(S), D)
            Z = mixed.reshape(n_rows, q, p)
        return Z

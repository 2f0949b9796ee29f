"""MA-DSBO: T steps on y and N on z within each iteration, and a moving average for x.

Chen, Huang, Ma, Balasubramanian, ICML 2023, arXiv 2210.12839, from the published description. In every iteration,

    T times:  y <- W y - beta g_y(x, y)                                       from the last y
    z = 0,  s = d = -f_y(x, y);  N times:  z+ = W z - gamma d                 HIGP
                                           s+ = g_yy(x, y, z+) - f_y(x, y)
                                           d+ = W d + s+ - s
    u  = f_x(x, y) - g_xy(x, y, z)
    x+ = W x - alpha r
    r+ = (1 - theta) r + theta u

x moves with the old r, so that its first step is zero; theta is alpha unless given. Every one of the T + N + 1 lines has a
sample of its own. HIGP is N steps of the row `non-gt` from 0, which go to the network's z whatever the agents' differences,
if gamma L < (1 + lambda_min)^2/2, lambda_min the smallest eigenvalue of W. MA-DSBO-GT, `lower = "gt"`: the T steps
are those of `non-gt`, its tracker restarted in every iteration; else they are `dgd`. x is biased by its own plain gossip, by
that of y (with a tracker: by what T steps leave of the restart) and by the error of z after N steps.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Method, averaging
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    z: Array
    r: Array
    m: Any


@dataclass(frozen=True, kw_only=True)
class MaDsbo(Method):
    """MA-DSBO with T steps of the lower level and N of the auxiliary level in an iteration; `lower = "gt"`: MA-DSBO-GT."""

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "z": "auxiliary"}
    source: ClassVar[str] = "Chen, Huang, Ma, Balasubramanian, ICML 2023, arXiv 2210.12839"
    claims: ClassVar[Claims | None] = Claims("LC", "K^-1/2", "e^-2 log(1/e)", "(q log(1/e) + p)/e^2", "-", False)
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["dgd"]
    upper: Strategy = STRATEGIES["dgd"]
    auxiliary: Strategy = STRATEGIES["non-gt"]
    T: int = 10
    N: int = 10
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule | None = None

    def __post_init__(self) -> None:
        averaging(self.theta)
        if self.theta is None:
            averaging(self.alpha, "steps.theta, which is alpha unless given")

    def strategies(self) -> dict[str, Strategy]:
        """Those of the levels; gt at y is the paper's, which is the row non-gt."""
        return super().strategies() | {"y": tracking(self.lower)}

    def floats(self, dims: tuple[int, int]) -> int:
        (p, q), row = dims, self.strategies()
        return row["x"].width * p + (self.T * row["y"].width + self.N * row["z"].width) * q

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, 0 * y, 0 * x, self.upper.start(x))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        theta = alpha if self.theta is None else self.theta(k)
        x, y, _, r, m = state

        y = descended(tracking(self.lower), self.T, k, oracle, W, x, y, beta)
        z = self.higp(k, oracle, W, x, y, gamma)
        o = oracle.draw(k, phase=self.T + self.N)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        x, m = W.x @ self.upper(x, alpha * r, m)
        r = (1 - theta) * r + theta * u
        return State(x, y, z, r, m)

    def higp(self, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, gamma: float) -> Array:
        """N steps from 0 towards the z that minimises the average of z' g_yy z / 2 - z' f_y; at z = 0 the direction is -f_y."""
        row, z = self.auxiliary, 0 * y
        d = row.start(z)
        for t in range(self.N):
            o = oracle.draw(k, phase=self.T + t)
            z, d = W.z @ row(z, gamma * (o.g_yy(x, y, z) - o.f_y(x, y)), d)
        return z


def tracking(row: Strategy) -> Strategy:
    """What the paper calls gt, non-gt; any other row as it is."""
    return STRATEGIES["non-gt"] if row.name == "gt" else row


def descended(row: Strategy, T: int, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, beta: float) -> Array:
    """y after T steps of a row that remembers nothing at the first, at the samples of phases 0, ..., T - 1."""
    m = row.start(y)
    for t in range(T):
        y, m = W.y @ row(y, beta * oracle.draw(k, phase=t).g_y(x, y), m)
    return y

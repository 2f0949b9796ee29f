"""MA-DSBO: T steps on y and N on z within each iteration, and a moving average for x.

Chen, Huang, Ma, Balasubramanian, ICML 2023, arXiv 2210.12839, from the published description. In
every iteration,

    T times:  y <- W y - beta g_y(x, y)                                       from the last y
    z = 0,  s = d = -f_y(x, y);  N times:  z+ = W z - gamma d                 HIGP
                                           s+ = g_yy(x, y, z+) - f_y(x, y)
                                           d+ = W d + s+ - s
    u  = f_x(x, y) - g_xy(x, y, z)
    x+ = W x - alpha r
    r+ = (1 - theta) r + theta u

x moves with the old r, so that its first step is zero; theta is alpha unless given. Every one of
the T + N + 1 lines has a sample of its own. HIGP is N steps of the strategy `non-gt` from 0, which
go to the network's z whatever the agents' differences, if gamma L < (1 + lambda_min)^2/2,
lambda_min the smallest eigenvalue of W. MA-DSBO-GT, `lower = "gt"`: the T steps are those of
`non-gt`, its tracker restarted in every iteration; otherwise they are `dgd`. x is biased by its own
plain gossip, by that of y (with a tracker: by what T steps leave of the restart) and by the error
of z after N steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from .._fields import Count
from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Oracle
from .base import Complexity, Method, assure_average
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    z: Float[Array, "m q"]
    r: Float[Array, "m p"]
    m: Any


@dataclass(frozen=True, kw_only=True)
class MaDsbo(Method):
    """MA-DSBO, with `lower = "gt"` MA-DSBO-GT: T steps on y and N on z in an iteration.

    Parameters
    ----------
    lower, upper : Strategy, default dgd
        The strategies of y and of x; `lower = "gt"` is the paper's gradient tracking, non-gt.
    auxiliary : Strategy, default non-gt
        The strategy of z.
    T, N : int, default 10
        Steps on y, and on z, in an iteration.
    theta : Schedule, optional
        The weight of the moving average; alpha if left out.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "z": "auxiliary"}
    source: ClassVar[str] = "Chen, Huang, Ma, Balasubramanian, ICML 2023, arXiv 2210.12839"
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"gt": "non-gt-dgd"})
    complexity: ClassVar[Complexity | None] = Complexity(
        "LC", "K^-1/2", "e^-2 log(1/e)", "(q log(1/e) + p)/e^2", "-", False
    )
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["dgd"]
    upper: Strategy = STRATEGIES["dgd"]
    auxiliary: Strategy = STRATEGIES["non-gt"]
    T: Count = 10
    N: Count = 10
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule | None = None

    def __post_init__(self) -> None:
        assure_average(self.theta)
        if self.theta is None:
            assure_average(self.alpha, "steps.theta, which is alpha unless given")
        assure_restartable(self.lower)

    def strategies(self) -> dict[str, Strategy]:
        return super().strategies() | {"y": papers_tracking(self.lower)}

    def floats(self, dims: tuple[int, int]) -> int:
        p, q = dims
        width = {level: strategy.width for level, strategy in self.strategies().items()}
        return width["x"] * p + (self.T * width["y"] + self.N * width["z"]) * q

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, 0 * y, 0 * x, self.upper.start(x))

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return state.r

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        theta = alpha if self.theta is None else self.theta(k)
        x, y, _, r, m = state

        y = descend(papers_tracking(self.lower), self.T, k, oracle, W, x, y, beta)
        z = self.higp(k, oracle, W, x, y, gamma)
        o = oracle.draw(k, phase=self.T + self.N)
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        x, m = W.x @ self.upper(x, alpha * r, m)
        r = (1 - theta) * r + theta * u
        return State(x, y, z, r, m)

    def higp(
        self,
        k: int,
        oracle: Oracle,
        W: Levels,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        gamma: float,
    ) -> Float[Array, "m q"]:
        """Take N steps from 0 towards the minimiser of the average of z' g_yy z / 2 - z' f_y."""
        z = 0 * y
        d = self.auxiliary.start(z)
        for t in range(self.N):
            o = oracle.draw(k, phase=self.T + t)
            if t == 0 or not o.is_full:  # f_y of the full batch remains the same
                b = o.f_y(x, y)
            p = o.g_yy(x, y, z) - b
            z, d = W.z @ self.auxiliary(z, gamma * p, d)
        return z


def assure_restartable(lower: Strategy) -> None:
    """Raise UserError where a strategy starts from what all agents have in common."""
    if lower.compression is not None:
        raise UserError(
            f"method.lower: {lower} begins with what neighbours know of each other, and the steps "
            "on y begin again in each iteration, when agents differ; take a strategy that sends in "
            "full, such as gt"
        )


def papers_tracking(strategy: Strategy) -> Strategy:
    """Return non-gt for gt, as the authors' papers call it; any other strategy unchanged."""
    return STRATEGIES["non-gt"] if strategy.name == "gt" else strategy


def descend(
    strategy: Strategy,
    T: int,
    k: int,
    oracle: Oracle,
    W: Levels,
    x: Float[Array, "m p"],
    y: Float[Array, "m q"],
    beta: float,
) -> Float[Array, "m q"]:
    """Return y after T steps along g_y, at the samples of phases 0, ..., T - 1.

    The strategy's memory is empty before the first of them.
    """
    m = strategy.start(y)
    for t in range(T):
        v = oracle.draw(k, phase=t).g_y(x, y)
        y, m = W.y @ strategy(y, beta * v, m)
    return y

"""DM-HSGD: descent-ascent over a network with STORM's momentum, for minimax problems.

Xian, Huang, Zhang, Huang, A faster decentralized algorithm for nonconvex minimax problems, NeurIPS
2021. x descends f and y ascends it, min over x, max over y of the upper losses; g is not used. With
(x-, y-) the last point, at the sample of this iteration too,

    u+ = f_x(x, y) + (1 - theta) (u - f_x(x-, y-))           x+ = U-step(x, alpha u+)
    v+ = -f_y(x, y) + (1 - theta) (v + f_y(x-, y-))          y+ = P(L-step(y, beta v+))

u and v begin as the first directions. The strategy `semi-gt` is the paper's tracking,
h+ = W(h + u+ - u), x+ = W x - alpha h+; any other may take its place. P is the problem's projection
of y, which follows each iteration. The paper's beta_x and beta_y are `theta`, one for both.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Memories, assure_average
from .gda import Gda
from .schedules import Power, Schedule
from .storm import storm


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    before: tuple[Float[Array, "m p"], Float[Array, "m q"]]
    u: Float[Array, "m p"]
    v: Float[Array, "m q"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class DmHsgd(Gda):
    """DM-HSGD for minimax problems: descent-ascent with momentum that corrects itself (STORM).

    Parameters
    ----------
    lower, upper : Strategy, default semi-gt
        The strategies of y and of x.
    theta : Schedule, default 0.1
        The weight of the newest directions, at most 1; 1 is gradient descent-ascent.
    """

    source: ClassVar[str] = "Xian, Huang, Zhang, Huang, NeurIPS 2021"

    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    theta: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        assure_average(self.theta)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> Any:
        m = Memories(self.upper.start(x), self.lower.start(y))
        return State(x, y, (x, y), 0 * x, 0 * y, m)

    def estimate(self, k: int, state: Any) -> Float[Array, "m p"] | None:
        return state.u

    def step(self, k: int, oracle: Oracle, W: Levels, state: Any) -> Any:
        alpha, beta = self.alpha(k), self.beta(k)
        theta = self.theta(k) if k > 0 else 1.0  # u and v begin as the first directions
        x, y, before, u, v, m = state

        o = oracle.draw(k)
        u = storm(theta, u, o.f_x(x, y), o.f_x(*before))
        v = storm(theta, v, -o.f_y(x, y), -o.f_y(*before))
        before = x, y
        (x, mx), (y, my) = W @ (self.upper(x, alpha * u, m.x), self.lower(y, beta * v, m.y))
        return State(x, y, before, u, v, Memories(mx, my))

"""LoPA: one x for all agents, and a lower level for each by itself.

Niu, Xu, Sun, Huang, Chai, JMLR 26(76) 2025, arXiv 2312.14690. PERSONALIZED: agent i solves its own
lower problem,

    min_x (1/n) sum_i f_i(x, y_i*(x)),    y_i*(x) = argmin_y g_i(x, y),

which is another problem than that of one y for the network; the two agree where all g_i do. y_i and
z_i never leave their agent. Every direction is at iterate k, and each oracle has a sample of its
own, five in all:

    y+ = y - beta g_y(x, y)
    z+ = z - gamma (g_yy(x, y, z) - f_y(x, y))
    x+ = (1 - tau) x + tau U-step(x, alpha r)
    r+ = (1 - theta) r + theta (f_x(x, y) - g_xy(x, y, z))

x moves with the OLD r, so that its first step is zero. LoPA-LG has the strategy `dgd` for U,
x+ = (1 - tau) x + tau (W x - alpha r), and is biased under heterogeneity; LoPA-GT, `upper = "gt"`,
has `non-gt` and is not. The paper's y is r, or the tracker of r. Metrics are evaluated at each
agent's own y_i.

`order = "new-average"` moves x with r+, and `samples = "one"` has one sample for all oracles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from .._fields import Range
from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Oracle, Sample
from .base import Complexity, Memories, Method
from .schedules import Power, Schedule
from .sparkle import State
from .strategies import STRATEGIES, Strategy

TAU = 0.4
"""The paper's tau."""


@dataclass(frozen=True, kw_only=True)
class Lopa(Method):
    """LoPA-LG, with `upper = "gt"` LoPA-GT: a lower variable for each agent, x alone is shared.

    Parameters
    ----------
    upper : Strategy, default dgd
        The strategy of x; `upper = "gt"` is the paper's gradient tracking, non-gt.
    tau : float, optional
        The part of a step that x takes, above 0; 1 is the whole step. If left out, 0.4 as in the
        paper; 1 with ed, extra and push-sum, which need whole steps.
    order : {"old-average", "new-average"}, default "old-average"
        Whether x moves with r as it was before the iteration, or as it is after.
    samples : {"independent", "one"}, default "independent"
        Whether each of the five oracles has a sample of its own.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper"}
    personalized: ClassVar[bool] = True
    source: ClassVar[str] = "Niu et al., JMLR 26(76) 2025, arXiv 2312.14690"
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"lg": "dgd"})
    complexity: ClassVar[Complexity | None] = Complexity(
        "BGD", "K^-1/2", "e^-2", "(p + q)/e^2", "-", True
    )
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    upper: Strategy = STRATEGIES["dgd"]
    tau: Annotated[float, Range(above=0, at_most=1)] | None = None
    order: Literal["old-average", "new-average"] = "old-average"
    samples: Literal["independent", "one"] = "independent"
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    def __post_init__(self) -> None:
        if self.tau is not None and self.tau < 1 and not _takes_parts_of_steps(self.upper):
            raise UserError(
                f"method.tau: {self.tau:g} with {self.upper}, which keeps the agents' mean through "
                "its own whole steps; set tau = 1, or take dgd, sgd or gradient tracking as "
                "method.upper"
            )

    def strategies(self) -> dict[str, Strategy]:
        return {"x": STRATEGIES["non-gt"] if self.upper.name == "gt" else self.upper}

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        strategy = self.strategies()["x"]
        return State(x, y, 0 * y, 0 * x, Memories(x=strategy.start(x)))

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return state.r

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, theta = self.alpha(k), self.beta(k), self.gamma(k), self.theta(k)
        tau = self.part_of_step()
        x, y, z, r, m = state

        v, p, u = self.directions(k, oracle, x, y, z)
        y = y - beta * v
        z = z - gamma * p
        r_new = (1 - theta) * r + theta * u
        h = r if self.order == "old-average" else r_new
        stepped, mx = W.x @ self.strategies()["x"](x, alpha * h, m.x)
        x = (1 - tau) * x + tau * stepped if tau < 1 else stepped
        return State(x, y, z, r_new, Memories(x=mx))

    def part_of_step(self) -> float:
        """Return tau, or the paper's where it is left out and the strategy permits it."""
        if self.tau is not None:
            return self.tau
        return TAU if _takes_parts_of_steps(self.upper) else 1.0

    def directions(
        self,
        k: int,
        oracle: Oracle,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        z: Float[Array, "m q"],
    ) -> tuple[Float[Array, "m q"], Float[Array, "m q"], Float[Array, "m p"]]:
        """Return the directions of y, z and r."""
        if self.samples == "one":
            o = oracle.draw(k)
            v = o.g_y(x, y)
            p = o.g_yy(x, y, z) - o.f_y(x, y)
            u = o.f_x(x, y) - o.g_xy(x, y, z)
        else:
            v = oracle.draw(k, phase=0).g_y(x, y)
            p = oracle.draw(k, phase=1).g_yy(x, y, z) - oracle.draw(k, phase=2).f_y(x, y)
            u = oracle.draw(k, phase=4).f_x(x, y) - oracle.draw(k, phase=3).g_xy(x, y, z)
        return v, p, u

    def heads(
        self, o: Sample, x: Float[Array, "m p"], y: Float[Array, "m q"], state: State
    ) -> Float[Array, "m q"]:
        return state.y


def _takes_parts_of_steps(strategy: Strategy) -> bool:
    """Whether the agents' mean moves right where the iterate takes a part of a step only."""
    return not strategy.drifts and strategy.weights != ("B",)

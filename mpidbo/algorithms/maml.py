"""Decentralized MAML: the head y is one gradient step of g_i away from what suits agent i.

Model-agnostic meta-learning (Finn, Abbeel, Levine, ICML 2017) with adaptation of the head alone, by
decentralized descent. It is not a bilevel method; it minimises

    F(x, y) = (1/n) sum_i f_i(x, y - a g_y,i(x, y))

over x and the common initial head y. At iterate k and one sample

    y' = y - a g_y(x, y)
    D_x = f_x(x, y') - a g_xy(x, y, f_y(x, y'))              x+ = U-step(x, alpha D_x)
    D_y = f_y(x, y') - a g_yy(x, y, f_y(x, y'))              y+ = L-step(y, beta D_y)

with the strategy `sgd` at both levels, which leaves a bias under heterogeneity; any other may take
its place. Metrics are evaluated at each agent's adapted head y'.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from .._fields import Positive
from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle, Sample
from .base import Memories, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Maml(Method):
    """Decentralized MAML with adaptation of the head y.

    Parameters
    ----------
    lower, upper : Strategy, default sgd
        The strategies of y and of x.
    a : float, default 0.1
        The step size of the adaptation, which each agent takes for itself.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    personalized: ClassVar[bool] = True
    source: ClassVar[str] = "Finn, Abbeel, Levine, ICML 2017, with the adaptation of the head alone"
    needs = ("f_x", "f_y", "g_y", "g_yy", "g_xy")

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    a: Positive = 0.1
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def curvatures(self, L: float) -> dict[str, float]:
        return {}  # both levels descend f

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, Memories(self.upper.start(x), self.lower.start(y)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta = self.alpha(k), self.beta(k)
        x, y, m = state

        o = oracle.draw(k)
        adapted = self.adapted(o, x, y)
        w = o.f_y(x, adapted)
        D_x = o.f_x(x, adapted) - self.a * o.g_xy(x, y, w)
        D_y = w - self.a * o.g_yy(x, y, w)
        (x, mx), (y, my) = W @ (
            self.upper(x, alpha * D_x, m.x),
            self.lower(y, beta * D_y, m.y),
        )
        return State(x, y, Memories(mx, my))

    def adapted(
        self, o: Sample, x: Float[Array, "m p"], y: Float[Array, "m q"]
    ) -> Float[Array, "m q"]:
        """Return y', each agent's head after its own step."""
        return y - self.a * o.g_y(x, y)

    def heads(
        self, o: Sample, x: Float[Array, "m p"], y: Float[Array, "m q"], state: State
    ) -> Float[Array, "m q"]:
        return self.adapted(o, x, y)

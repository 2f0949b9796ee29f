"""Decentralized MAML: the head y is one gradient step of g_i away from what suits agent i.

Model-agnostic meta-learning (Finn, Abbeel, Levine, ICML 2017) with adaptation of the head alone, by decentralized descent. It
is no bilevel method, it minimises

    F(x, y) = (1/n) sum_i f_i(x, y - a g_y,i(x, y))

over x and the common initial head y. At iterate k and one sample

    y' = y - a g_y(x, y)
    D_x = f_x(x, y') - a g_xy(x, y, f_y(x, y'))              x+ = U-step(x, alpha D_x)
    D_y = f_y(x, y') - a g_yy(x, y, f_y(x, y'))              y+ = L-step(y, beta D_y)

with the row `sgd` at both levels, which leaves a bias under heterogeneity; any strategy may stand there. Figures of merit
are taken at each agent's adapted head y'.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Memories, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Maml(Method):
    """Decentralized MAML: `a` is the step of the adaptation, which each agent takes for itself."""

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    personalised: ClassVar[bool] = True
    source: ClassVar[str] = "Finn, Abbeel, Levine, ICML 2017, with the adaptation of the head alone"
    needs = ("f_x", "f_y", "g_y", "g_yy", "g_xy")

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    a: float = 0.1
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, Memories(self.upper.start(x), self.lower.start(y)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        x, y, m = state

        o = oracle.draw(k)
        adapted = self.adapted(o, x, y)
        w = o.f_y(x, adapted)
        D_x = o.f_x(x, adapted) - self.a * o.g_xy(x, y, w)
        D_y = w - self.a * o.g_yy(x, y, w)
        (x, mx), (y, my) = W @ (self.upper(x, self.alpha(k) * D_x, m.x), self.lower(y, self.beta(k) * D_y, m.y))
        return State(x, y, Memories(mx, my))

    def adapted(self, o: Oracle, x: Any, y: Any) -> Array:
        """y'."""
        return y - self.a * o.g_y(x, y)

    def heads(self, o: Oracle, x: Any, y: Any, state: State) -> Array:
        return self.adapted(o, x, y)

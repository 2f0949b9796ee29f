"""Single-level descent: min_x (1/n) sum f_i(x, y0) with any strategy (D-SGD, EXTRA, Exact Diffusion, gradient tracking).

    x+ = U-step(x, alpha f_x(x, y0))

y stays y0 and is part of the result. The strategies' sources stand in mpidbo/algorithms/strategies.py.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    m: Any


@dataclass(frozen=True, kw_only=True)
class SingleLevel(Method):
    """Decentralized gradient descent on x alone, with the strategy `upper`."""

    levels: ClassVar[dict[str, str]] = {"x": "upper"}
    bilevel: ClassVar[bool] = False
    source: ClassVar[str] = "D-SGD, EXTRA, Exact Diffusion, gradient tracking on f(., y0)"
    needs = ("f_x",)

    upper: Strategy = STRATEGIES["sgd"]
    alpha: Schedule = Power(0.01)

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, self.upper.start(x))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        x, y, m = state
        u = oracle.draw(k).f_x(x, y)
        x, m = W.x @ self.upper(x, self.alpha(k) * u, m)
        return State(x, y, m)

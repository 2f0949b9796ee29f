"""Single-level descent: min_x (1/n) sum f_i(x, y0) with any strategy.

    x+ = U-step(x, alpha f_x(x, y0))

is D-SGD, EXTRA, Exact Diffusion or gradient tracking, whose sources are in
mpidbo/algorithms/strategies.py. y stays y0 and is part of the result.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    m: Any


@dataclass(frozen=True, kw_only=True)
class SingleLevel(Method):
    """Decentralized gradient descent on x alone, with the strategy `upper`.

    Parameters
    ----------
    upper : Strategy, default sgd
        The strategy of x.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper"}
    bilevel: ClassVar[bool] = False
    source: ClassVar[str] = "D-SGD, EXTRA, Exact Diffusion, gradient tracking on f(., y0)"
    needs = ("f_x",)

    upper: Strategy = STRATEGIES["sgd"]
    alpha: Schedule = Power(0.01)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, self.upper.start(x))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha = self.alpha(k)
        x, y, m = state

        u = oracle.draw(k).f_x(x, y)
        x, m = W.x @ self.upper(x, alpha * u, m)
        return State(x, y, m)

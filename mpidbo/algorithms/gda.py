"""Gradient descent-ascent over a network: min over x, max over y of the upper losses.

Lin, Jin, Jordan, On gradient descent ascent for nonconvex-concave minimax problems, ICML 2020,
arXiv 1906.00331; over a network: Tsaknakis, Hong, Liu, Decentralized min-max optimization, ICASSP
2020. Both directions at iterate k and one sample:

    u = f_x(x, y)                       x+ = U-step(x, alpha u)
    v = -f_y(x, y)                      y+ = L-step(y, beta v)

With the strategy sgd these are x+ = W(x - alpha f_x) and y+ = W(y + beta f_y). g is not used; where
a problem has one, it is to be -f. Where f is strongly concave in y, f_x(x, y*(x)) is the gradient
of max_y f(x, y), also where y is to stay in a set (Danskin's theorem): projections follow each
iteration.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..parallel import host
from ..problems import Oracle
from .base import Memories, Method, last_direction
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy

TOLERANCE = 1e-3
"""Relative, of the angle between f_y and -g_y."""


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class Gda(Method):
    """Gradient descent-ascent for minimax problems: x descends f and y ascends it; g is not used.

    Parameters
    ----------
    lower, upper : Strategy, default semi-gt
        The strategies of y and of x.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    source: ClassVar[str] = (
        "Lin, Jin, Jordan, ICML 2020, arXiv 1906.00331; Tsaknakis, Hong, Liu, ICASSP 2020"
    )
    uses_problem_steps: ClassVar[bool] = True
    needs = ("f_x", "f_y")

    lower: Strategy = STRATEGIES["semi-gt"]
    upper: Strategy = STRATEGIES["semi-gt"]
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, Memories(self.upper.start(x), self.lower.start(y)))

    def accept(self, oracle: Oracle, x: Float[Array, " p"], y: Float[Array, " q"]) -> None:
        x, y = oracle.backend.array(x), oracle.backend.array(y)
        for i, problem in enumerate(oracle.problems):
            if getattr(problem, "g_y", None) is None:
                continue
            up, down = (
                host(getattr(problem, name)(x, y, None)).astype(np.float64)
                for name in ("f_y", "g_y")
            )
            sizes = np.linalg.norm(up), np.linalg.norm(down)
            if np.linalg.norm(sizes[1] * up + sizes[0] * down) > TOLERANCE * sizes[0] * sizes[1]:
                raise UserError(
                    "method.name: this method solves min over x, max over y of f, and does not use "
                    f"g; in problem {type(problem).__name__}, agent {oracle.agents.first + i}, g "
                    "is not -f: at the start g_y is not opposite to f_y; choose another method"
                )

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return last_direction(state.m.x, self.alpha(k - 1))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta = self.alpha(k), self.beta(k)
        x, y, m = state

        o = oracle.draw(k)
        u, v = o.f_x(x, y), -o.f_y(x, y)
        (x, mx), (y, my) = W @ (self.upper(x, alpha * u, m.x), self.lower(y, beta * v, m.y))
        return State(x, y, Memories(mx, my))

"""The double loop of policy evaluation: a fresh average of k + 1 samples for y in iteration k.

A baseline of Gossip-DSBO's experiments (Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870) for
lower losses with g_yy = 2I, the sum of squares of policy evaluation:

    y = 0;  for j = 1, ..., k + 1:  y <- y - g_y(x, y; sample j) / (2 j)
    z = f_y(x, y) / 2
    x+ = W x - alpha (f_x(x, y) - g_xy(x, y, z))

y is the mean of k + 1 samples of y*(x). It never leaves its agent, and K iterations cost K^2/2
samples. y_i is the minimiser of agent i's own g: x goes to the solution only where g_xy is the same
on all agents and f_y is linear in y, as in policy evaluation with a common transition law; and,
with the plain strategy `dgd`, as far as a constant step size goes. A problem whose g_yy is not 2I
is refused; one that does not define g_yy is not checked.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Oracle
from .base import Method, last_direction
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy

TOLERANCE = 1e-5
"""Relative, of g_yy v - 2v."""


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    m: Any


@dataclass(frozen=True, kw_only=True)
class Dsgd(Method):
    """Double loop for policy evaluation: k + 1 samples for y in iteration k; only where g_yy = 2I.

    Parameters
    ----------
    upper : Strategy, default dgd
        The strategy of x.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper"}
    source: ClassVar[str] = (
        "the double-loop baseline of Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870"
    )
    needs = ("g_y", "f_y", "f_x", "g_xy")

    upper: Strategy = STRATEGIES["dgd"]
    alpha: Schedule = Power(0.01)

    def __post_init__(self) -> None:
        if self.lower_ridge is not None:
            raise UserError(
                "method.lower_ridge: dsgd takes g_yy = 2I for granted, which a ridge changes; "
                "leave it out, or choose another method"
            )

    def accept(self, oracle: Oracle, x: Float[Array, " p"], y: Float[Array, " q"]) -> None:
        direction = np.random.default_rng(0).standard_normal(len(y)).astype(y.dtype)
        x, y, v = (oracle.backend.array(part) for part in (x, y, direction))
        for i, problem in enumerate(oracle.problems):
            if getattr(problem, "g_yy", None) is None:
                continue
            Hv = problem.g_yy(x, y, v, None)
            if np.shape(Hv) != v.shape or not abs(Hv - 2 * v).max() < TOLERANCE * abs(v).max():
                raise UserError(
                    "method.name: dsgd takes g_yy = 2I for granted, the sum of squares of policy "
                    f"evaluation, and that of problem {type(problem).__name__}, agent "
                    f"{oracle.agents.first + i}, is not; choose another method"
                )

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        return State(x, y, self.upper.start(x))

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return last_direction(state.m, self.alpha(k - 1))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha = self.alpha(k)
        x, y, m = state

        y = 0 * y
        for j in range(1, k + 2):
            y = y - oracle.draw(k, phase=j).g_y(x, y) / (2 * j)
        o = oracle.draw(k)
        z = o.f_y(x, y) / 2
        u = o.f_x(x, y) - o.g_xy(x, y, z)
        x, m = W.x @ self.upper(x, alpha * u, m)
        return State(x, y, m)

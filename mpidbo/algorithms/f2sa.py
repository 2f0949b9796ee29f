"""F2SA over a network: bilevel descent by first-order oracles, the lower level as a penalty.

Kwon, Kwon, Wright, Nowak, ICML 2023, arXiv 2301.10945, with a strategy at every level; with
gradient tracking it is FAB (Ma, Wang, Yao, Zhang, arXiv 2605.06328) on an undirected graph. The
penalty function f + (g - min_t g(., t)) / mu is a minimum over (x, y):

    D_x = f_x(x, y) + (g_x(x, y) - g_x(x, t)) / mu           x+ = U-step(x, alpha D_x)
    D_y = f_y(x, y) + g_y(x, y) / mu                         y+ = L-step(y, beta D_y)
    D_t = g_y(x, t)                                          t+ = L-step(t, gamma D_t)

from t0 = y0, all three at iterate k and one sample. The bias of x is linear in mu, which falls as
(k+1)^(-1/3) by default, so that it vanishes. The curvature of the penalty function grows as 1/mu:
alpha and beta must fall with mu, as their defaults do; with constant ones a decreasing mu diverges
in the end. g must be strongly convex in y.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Averaged, Oracle
from .base import Memories, Method, last_direction
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy
from .sun_dsbo import RESIDUALS, State, residuals


@dataclass(frozen=True, kw_only=True)
class F2sa(Method):
    """F2SA over a network, with gradient tracking FAB: penalty weight 1/`mu` (a schedule).

    Parameters
    ----------
    lower, upper : Strategy, default semi-gt
        The strategies of y and t, and of x.
    mu : Schedule, default (k+1)^-0.3333
        The inverse weight of the penalty, positive.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "t": "lower"}
    source: ClassVar[str] = (
        "Kwon et al., ICML 2023, arXiv 2301.10945; FAB: Ma, Wang, Yao, Zhang, arXiv 2605.06328"
    )
    own_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = RESIDUALS
    needs = ("f_x", "f_y", "g_x", "g_y")

    lower: Strategy = STRATEGIES["semi-gt"]
    upper: Strategy = STRATEGIES["semi-gt"]
    mu: Schedule = Power(1.0, -0.3333)
    alpha: Schedule = Power(0.01, -0.3333)
    beta: Schedule = Power(0.1, -0.3333)
    gamma: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        if not self.mu.is_positive:
            raise UserError(
                "method.mu: 0 is not positive; F2SA divides by it: give a positive number or a "
                "schedule"
            )

    def curvatures(self, L: float) -> dict[str, float]:
        return {"beta": L / self.mu(0), "gamma": L}

    def metrics(
        self, averaged: Averaged, means: Mapping[str, Array], names: Collection[str]
    ) -> dict[str, float]:
        # the value function min_t g(x, t) is the Moreau envelope with lam infinite
        return residuals(averaged, means, names, lam=math.inf)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        m = Memories(self.upper.start(x), self.lower.start(y), self.lower.start(y))
        return State(x, y, y, m)

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return last_direction(state.m.x, self.alpha(k - 1))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, mu = self.alpha(k), self.beta(k), self.gamma(k), self.mu(k)
        x, y, t, m, _ = state

        o = oracle.draw(k)
        D_x = o.f_x(x, y) + (o.g_x(x, y) - o.g_x(x, t)) / mu
        D_y = o.f_y(x, y) + o.g_y(x, y) / mu
        D_t = o.g_y(x, t)
        (x, mx), (y, my), (t, mt) = W @ (
            self.upper(x, alpha * D_x, m.x),
            self.lower(y, beta * D_y, m.y),
            self.lower(t, gamma * D_t, m.z),
        )
        return State(x, y, t, Memories(mx, my, mt))

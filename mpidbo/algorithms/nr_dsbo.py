"""NR-DSBO: bilevel descent under heavy-tailed noise, by normalized and tracked momentum.

arXiv 2509.15543 (*reconstructed*: the penalty's directions are those of F2SA, the momentum is
STORM's). With 1/mu the weight of the penalty, and t following the minimizer of g(x, .),

    D_x = f_x(x, y) + (g_x(x, y) - g_x(x, t)) / mu
    D_y = f_y(x, y) + g_y(x, y) / mu
    D_t = g_y(x, t)

and for each level s = x, y, t of step size eta = alpha, beta, gamma, with D(before) at the last
point, its mu and the SAME sample,

    m+ = D(now) + (1 - theta) (m - D(before)),    first m = D
    h+ = W h + m+ - m                             the first h is m
    s+ = W s - eta h+ / |h+|                      row by row; nothing where h+ = 0

A step has the length eta whatever the noise, so that one large sample moves no agent far. Constant
step sizes leave the iterates moving about the penalized solution at that distance: the defaults
fall. The bias of x is linear in mu.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from .._linalg import squared_norms
from .._types import Array, Float
from ..errors import UserError
from ..network import Levels
from ..problems import Averaged, Oracle, Sample
from .base import Method, assure_average
from .schedules import Power, Schedule
from .storm import storm
from .strategies import STRATEGIES, Step, Strategy
from .sun_dsbo import RESIDUALS, Directions, residuals


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    t: Float[Array, "m q"]
    before: tuple[Float[Array, "m p"], Float[Array, "m q"], Float[Array, "m q"]]
    M: Directions
    """The momenta."""
    H: Directions
    """Their trackers."""


@dataclass(frozen=True, kw_only=True)
class NrDsbo(Method):
    """NR-DSBO for heavy-tailed noise: F2SA's directions with STORM, tracked and normalized.

    Parameters
    ----------
    mu : Schedule, default 0.1
        The inverse weight of the penalty, positive.
    theta : Schedule, default 0.1
        The weight of the newest directions, at most 1.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "t": "lower"}
    source: ClassVar[str] = "arXiv 2509.15543 (reconstructed)"
    own_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = RESIDUALS
    needs = ("f_x", "f_y", "g_x", "g_y")

    lower: ClassVar[Strategy] = STRATEGIES["non-gt"]
    upper: ClassVar[Strategy] = STRATEGIES["non-gt"]
    mu: Schedule = Power(0.1)
    alpha: Schedule = Power(0.01, -0.5, 100.0)
    beta: Schedule = Power(0.1, -0.5, 100.0)
    gamma: Schedule = Power(0.1, -0.5, 100.0)
    theta: Schedule = Power(0.1)

    def __post_init__(self) -> None:
        assure_average(self.theta)
        if not self.mu.is_positive:
            raise UserError(
                "method.mu: 0 is not positive; NR-DSBO divides by it: give a positive number or a "
                "schedule"
            )

    def metrics(
        self, averaged: Averaged, means: Mapping[str, Array], names: Collection[str]
    ) -> dict[str, float]:
        return residuals(averaged, means, names, lam=math.inf)

    def curvatures(self, L: float) -> dict[str, float]:
        return {}  # a normalized step is as long as its step size

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        zero = Directions(0 * x, 0 * y, 0 * y)
        return State(x, y, y, (x, y, y), zero, zero)

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        return state.M.x

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, mu = self.alpha(k), self.beta(k), self.gamma(k), self.mu(k)
        theta = self.theta(k) if k > 0 else 1.0  # the momenta begin as the first directions
        x, y, t, before, M, H = state

        o = oracle.draw(k)
        now = self.directions(o, mu, x, y, t)
        last = self.directions(o, self.mu(max(k - 1, 0)), *before)
        M_new = Directions(*(storm(theta, m, *D) for m, *D in zip(M, now, last, strict=True)))
        (x_new, hx), (y_new, hy), (t_new, ht) = W @ (
            self.normalized(x, alpha, H.x, M_new.x - M.x),
            self.normalized(y, beta, H.y, M_new.y - M.y),
            self.normalized(t, gamma, H.t, M_new.t - M.t),
        )
        return State(x_new, y_new, t_new, (x, y, t), M_new, Directions(hx, hy, ht))

    def directions(
        self,
        o: Sample,
        mu: float,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        t: Float[Array, "m q"],
    ) -> Directions:
        """Return D_x, D_y, D_t."""
        D_x = o.f_x(x, y) + (o.g_x(x, y) - o.g_x(x, t)) / mu
        D_y = o.f_y(x, y) + o.g_y(x, y) / mu
        D_t = o.g_y(x, t)
        return Directions(D_x, D_y, D_t)

    def normalized(
        self,
        s: Float[Array, "m d"],
        eta: float,
        h: Float[Array, "m d"],
        change: Float[Array, "m d"],
    ) -> Step:
        """(s+, h+), with `change` = m+ - m."""
        Ws, Wh = yield s, h
        h = Wh + change
        sizes = np.maximum(np.sqrt(squared_norms(h)), float(np.finfo(h.dtype).tiny))
        return Ws - h * (eta / sizes), h

"""SUN-DSBO: a nonconvex lower level, by first-order oracles alone.

Ma, Wang, Yao, Zhang, arXiv 2601.22682; the directions are *reconstructed* from its centralized
ancestor MEHA (Liu et al., ICML 2024). With the Moreau envelope
V(x, y) = min_t g(x, t) + |t - y|^2 / (2 lam) of the network's g, the penalty function mu f + g - V
is a minimum over (x, y) and a maximum over t:

    D_x = mu f_x(x, y) + g_x(x, y) - g_x(x, t)               x+ = U-step(x, alpha D_x)
    D_y = mu f_y(x, y) + g_y(x, y) - (y - t) / lam           y+ = L-step(y, beta D_y)
    D_t = g_y(x, t) + (t - y) / lam                          t+ = L-step(t, gamma D_t)

from t0 = y0; all three at iterate k (`jacobi`), or in MEHA's order (`gauss-seidel`): t+ from
(x, y, t), x+ from (x, y, t+), y+ from (x+, y, t+), a sample for each. SUN-DSBO-SE is the strategy
`sgd`, SUN-DSBO-GT is `semi-gt`; any other may take its place. With `theta` each level moves by an
average of its directions in place of the newest one:

    m+ = (1 - theta) m + theta D,    m0 = 0          for each of D_x, D_y, D_t

With rho the weak convexity of g in y, the negative of its smallest curvature, V is smooth for
lam < 1/rho, and stationary points of the lower level are those of g - V for lam < 1/(2 rho) (MEHA,
Theorem A.2); a run warns where lam is not below 1/rho at the start. The bias of x is linear in mu;
since D_x ~ mu grad Phi, the step size of x should be of order 1/mu. mu may decrease, as
1/(c (k+1)^0.49) in MEHA. Keep gamma >= beta: on a mode of curvature a the pair (y, t) diverges when
(beta - gamma) / lam > (beta + gamma) a.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

from .._fields import Positive
from .._types import Array, Float
from ..network import Levels
from ..problems import Averaged, Oracle, Sample, envelope, smallest_curvature
from .base import Complexity, Memories, Method, assure_average, last_direction
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class Directions(NamedTuple):
    """A direction, or what is kept of it, for each level."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    t: Float[Array, "m q"]


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    t: Float[Array, "m q"]
    m: Memories
    D: Directions | tuple[()] = ()
    """The averages of the directions; empty without theta."""


RESIDUALS = MappingProxyType({"residual": ("g",), "refined_residual": ("g", "g_y")})
"""Metrics of g - V, g the network's: with t in place of the minimiser, and with t refined."""


def residuals(
    averaged: Averaged, means: Mapping[str, Array], names: Collection[str], lam: float
) -> dict[str, float]:
    """Return the metrics of RESIDUALS that are named, at the means of x, y and t; collective."""
    if not names:
        return {}
    x, y, t = means["x"], means["y"], means["t"]
    g = float(averaged("g", x, y))
    found = {}
    if "residual" in names:
        found["residual"] = g - float(averaged("g", x, t)) - float((t - y) @ (t - y)) / (2 * lam)
    if "refined_residual" in names:
        found["refined_residual"] = g - envelope(averaged, x, y, t, lam)
    return found


@dataclass(frozen=True, kw_only=True)
class SunDsbo(Method):
    """SUN-DSBO with the penalty weight `mu` (a schedule) and the envelope's `lam`.

    Parameters
    ----------
    lower, upper : Strategy, default semi-gt
        The strategies of y and t, and of x.
    schedule : {"jacobi", "gauss-seidel"}, default "jacobi"
        Whether each level uses the new iterates of those before it.
    mu : Schedule, default 0.1
        The weight of f in the penalty function.
    lam : float, default 1.0
        The parameter of the Moreau envelope.
    theta : Schedule, optional
        The weight of the newest direction in the average that a level moves by, at most 1; without
        it a level moves by the newest direction.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "t": "lower"}
    source: ClassVar[str] = (
        "Ma, Wang, Yao, Zhang, arXiv 2601.22682 (directions reconstructed from MEHA, ICML 2024)"
    )
    complexity: ClassVar[Complexity | None] = Complexity(
        "nonconvex lower level; no bounded gradient, no dissimilarity",
        "(nK)^-1/2",
        "-",
        "-",
        "-",
        True,
    )
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"se": "sgd", "gt": "semi-gt"})
    own_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = RESIDUALS
    needs = ("f_x", "f_y", "g_x", "g_y")

    lower: Strategy = STRATEGIES["semi-gt"]
    upper: Strategy = STRATEGIES["semi-gt"]
    schedule: Literal["jacobi", "gauss-seidel"] = "jacobi"
    mu: Schedule = Power(0.1)
    lam: Positive = 1.0
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)
    theta: Schedule | None = None

    def __post_init__(self) -> None:
        assure_average(self.theta)

    def doubt(self, oracle: Oracle, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> str:
        rho = -smallest_curvature(oracle, x, y)
        if not rho * self.lam >= 1:  # also where rho is NaN
            return ""
        return (
            f"method.lam: {self.lam:g} is not below 1/rho = {1 / rho:.3g}, where rho = {rho:.3g} "
            "is the weak convexity of g in y at the start: the Moreau envelope is not smooth; "
            f"take lam below 1/(2 rho) = {1 / (2 * rho):.3g}"
        )

    def curvatures(self, L: float) -> dict[str, float]:
        return dict.fromkeys(("beta", "gamma"), L + 1 / self.lam)

    def metrics(
        self, averaged: Averaged, means: Mapping[str, Array], names: Collection[str]
    ) -> dict[str, float]:
        return residuals(averaged, means, names, self.lam)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        m = Memories(self.upper.start(x), self.lower.start(y), self.lower.start(y))
        D = () if self.theta is None else Directions(0 * x, 0 * y, 0 * y)
        return State(x, y, y, m, D)

    def estimate(self, k: int, state: State) -> Float[Array, "m p"] | None:
        mu = self.mu(k - 1)
        if state.D:
            return state.D.x / mu
        return last_direction(state.m.x, self.alpha(k - 1) * mu)

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        if self.schedule == "gauss-seidel":
            return self.gauss_seidel(k, oracle, W, state)
        return self.jacobi(k, oracle, W, state)

    def D_x(
        self,
        o: Sample,
        mu: float,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        t: Float[Array, "m q"],
    ) -> Float[Array, "m p"]:
        return mu * o.f_x(x, y) + o.g_x(x, y) - o.g_x(x, t)

    def D_y(
        self,
        o: Sample,
        mu: float,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        t: Float[Array, "m q"],
    ) -> Float[Array, "m q"]:
        return mu * o.f_y(x, y) + o.g_y(x, y) - (y - t) / self.lam

    def D_t(
        self,
        o: Sample,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        t: Float[Array, "m q"],
    ) -> Float[Array, "m q"]:
        return o.g_y(x, t) + (t - y) / self.lam

    def average(self, k: int, before: Any, level: str, D: Array) -> Array:
        """Return m+ = (1 - theta) m + theta D of a level; D itself without theta."""
        if self.theta is None:
            return D
        theta = self.theta(k)
        return (1 - theta) * getattr(before, level) + theta * D

    def kept(self, *averages: Array) -> Directions | tuple[()]:
        """Return what a state keeps of the averages of D_x, D_y, D_t."""
        return () if self.theta is None else Directions(*averages)

    def jacobi(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, mu = self.alpha(k), self.beta(k), self.gamma(k), self.mu(k)
        x, y, t, m, D = state

        o = oracle.draw(k)
        D_x = self.average(k, D, "x", self.D_x(o, mu, x, y, t))
        D_y = self.average(k, D, "y", self.D_y(o, mu, x, y, t))
        D_t = self.average(k, D, "t", self.D_t(o, x, y, t))
        (x, mx), (y, my), (t, mt) = W @ (
            self.upper(x, alpha * D_x, m.x),
            self.lower(y, beta * D_y, m.y),
            self.lower(t, gamma * D_t, m.z),
        )
        return State(x, y, t, Memories(mx, my, mt), self.kept(D_x, D_y, D_t))

    def gauss_seidel(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma, mu = self.alpha(k), self.beta(k), self.gamma(k), self.mu(k)
        x, y, t, m, D = state

        o = oracle.draw(k, phase=0)
        D_t = self.average(k, D, "t", self.D_t(o, x, y, t))
        t, mt = W.z @ self.lower(t, gamma * D_t, m.z)

        o = oracle.draw(k, phase=1)
        D_x = self.average(k, D, "x", self.D_x(o, mu, x, y, t))
        x, mx = W.x @ self.upper(x, alpha * D_x, m.x)

        o = oracle.draw(k, phase=2)
        D_y = self.average(k, D, "y", self.D_y(o, mu, x, y, t))
        y, my = W.y @ self.lower(y, beta * D_y, m.y)
        return State(x, y, t, Memories(mx, my, mt), self.kept(D_x, D_y, D_t))

"""Gossip-DSBO: every derivative is averaged by gossip, matrices too; for small p and q.

Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870. With G_xy (p x q) and b independent G_yy (q x q),
dense, all at iterate k,

    x+ = W x - alpha (s - u q h)                    y+ = W y - beta g_y
    s+ = (1 - theta) W s + theta f_x                h+ = (1 - theta) W h + theta f_y
    u+ = (1 - theta) W u + theta G_xy
    v_i+ = (1 - theta) W v_i + theta G_yy(sample i),    i = 1, ..., b
    Q_0 = I,    Q_i = I + (I - v_i+ / L) Q_{i-1},    q+ = Q_b / L

from s = h = u = 0, v_i = mu_g I, q = I/L. theta is the paper's beta, beta its gamma; x moves with
the old s, u, q, h, so that its first step is zero. f_x, f_y, g_y and G_xy share a sample: 1 + b
samples, and one message, in an iteration.

Step sizes of the nonconvex case: alpha = C0 sqrt(n/T), theta = beta = sqrt(n/T), which is
{kind = "sqrt-n-over-t", scale = C0} and {kind = "sqrt-n-over-t"}. Under the PL condition:
alpha_k = 2/(mu (C1 + k)), theta_k = beta_k = C1/(C1 + k), which is
{kind = "inverse-time", start = 2/(mu C1), offset = C1} and
{kind = "inverse-time", start = 1, offset = C1}. theta is at most 1.

With constant step sizes x is biased under heterogeneity, less with smaller theta, alpha and beta;
and by the b + 1 terms of the series for the inverse, relatively by (1 - mu_g/L)^(b + 1) at most.
One centre that sees all agents: strategy `centralized`, where s+ is the average over all agents of
(1 - theta) s + theta f_x, and so on. The averages s, h, u, v are mixed over the topology of y.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from .._fields import Count, Positive
from .._linalg import batched_matvec
from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Complexity, Memories, Method, assure_average
from .matrices import assure_room, dense, flatten, identities
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Step, Strategy


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    s: Float[Array, "m p"]
    h: Float[Array, "m q"]
    u: Float[Array, "m pq"]
    v: Float[Array, "m bqq"]
    q: Float[Array, "m qq"]
    m: Memories


@dataclass(frozen=True, kw_only=True)
class GossipDsbo(Method):
    """Gossip-DSBO with b samples of the Hessian in an iteration and dense matrices.

    Parameters
    ----------
    lower, upper : Strategy, default dgd
        The strategies of y and of x.
    b : int, default 10
        Samples of g_yy in an iteration.
    L : float, optional
        The scale of g_yy, at least its largest eigenvalue; estimated at the start if left out.
    mu_g : float, optional
        The smallest eigenvalue of g_yy; L/100 if left out.
    max_bytes : float, default 2^30
        The memory that the matrices may take on a rank.
    """

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    source: ClassVar[str] = "Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870"
    complexity: ClassVar[Complexity | None] = Complexity(
        "BG", "(nK)^-1/2", "log(1/e)/(n e^2)", "(q^2 log(1/e) + pq)/(n e^2)", "n^3/(1-rho)^4", False
    )
    mixes_by_W: ClassVar[bool] = True
    needs = ("f_x", "f_y", "g_y", "g_xy", "g_yy")

    lower: Strategy = STRATEGIES["dgd"]
    upper: Strategy = STRATEGIES["dgd"]
    b: Count = 10
    L: Positive | None = None
    mu_g: Positive | None = None
    max_bytes: Positive = 2.0**30
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    def __post_init__(self) -> None:
        assure_average(self.theta)

    def floats(self, dims: tuple[int, int]) -> int:
        p, q = dims
        return super().floats(dims) + p + q + p * q + self.b * q**2

    def accept(self, oracle: Oracle, x: Float[Array, " p"], y: Float[Array, " q"]) -> None:
        entries = x.size * y.size + (self.b + 1) * y.size**2
        assure_room(f"gossip-dsbo with b = {self.b}", entries, oracle, self.max_bytes)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        (n_rows, p), (_, q) = x.shape, y.shape
        I = flatten(identities(y))
        return State(
            x=x,
            y=y,
            s=0 * x,
            h=0 * y,
            u=np.zeros_like(x, shape=(n_rows, p * q)),
            v=np.tile(self.mu_g * I, self.b),
            q=I / self.L,
            m=Memories(self.upper.start(x), self.lower.start(y)),
        )

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, theta = self.alpha(k), self.beta(k), self.theta(k)
        x, y, s, h, u, v, q, m = state
        (n_rows, d) = y.shape

        o = oracle.draw(k)
        f_x, f_y, g_y = o.f_x(x, y), o.f_y(x, y), o.g_y(x, y)
        G_xy = flatten(dense(o.g_xy, x, y))
        G_yy = self.hessians(k, oracle, x, y)
        direction = self.estimate(k, state)
        (x, mx), (y, my), s, h, u, v = W @ (
            self.upper(x, alpha * direction, m.x),
            self.lower(y, beta * g_y, m.y),
            self.averaged(theta, s, f_x),
            self.averaged(theta, h, f_y),
            self.averaged(theta, u, G_xy),
            self.averaged(theta, v, G_yy),
        )
        q = flatten(self.inverse(v.reshape(n_rows, self.b, d, d)))
        return State(x, y, s, h, u, v, q, Memories(mx, my))

    def estimate(self, k: int, state: State) -> Float[Array, "m p"]:
        (n_rows, p), (_, d) = state.x.shape, state.y.shape
        qh = batched_matvec(state.q.reshape(n_rows, d, d), state.h)
        return state.s - batched_matvec(state.u.reshape(n_rows, p, d), qh)

    def hessians(
        self, k: int, oracle: Oracle, x: Float[Array, "m p"], y: Float[Array, "m q"]
    ) -> Float[Array, "m bqq"]:
        """Return G_yy at the samples of phases 1, ..., b, flattened one after the other."""
        samples = (oracle.draw(k, phase=i) for i in range(1, self.b + 1))
        return np.concatenate([flatten(dense(o.g_yy, x, y)) for o in samples], axis=1)

    def averaged(self, theta: float, s: Float[Array, "m d"], new: Float[Array, "m d"]) -> Step:
        """(1 - theta) W s + theta new; where one centre averages over all, also what is new."""
        strategy = STRATEGIES["centralized" if self.lower.averages else "dgd"]
        mixed, _ = yield from strategy((1 - theta) * s, -theta * new, ())
        return mixed

    def inverse(self, v: Float[Array, "m b q q"]) -> Float[Array, "m q q"]:
        """Return Q_b / L of the averages v_1, ..., v_b of the Hessians."""
        I = Q = np.diag(np.ones_like(v[0, 0, 0]))
        for i in range(self.b):
            Q = I + Q - v[:, i] @ Q / self.L
        return Q / self.L

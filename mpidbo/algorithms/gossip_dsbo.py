"""Gossip-DSBO: every derivative is averaged by gossip, matrices too; for small p and q.

Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870. With G_xy (p x q) and b independent G_yy (q x q), dense, all at iterate k,

    x+ = W x - alpha (s - u q h)                    y+ = W y - beta g_y
    s+ = (1 - theta) W s + theta f_x                h+ = (1 - theta) W h + theta f_y
    u+ = (1 - theta) W u + theta G_xy               v_i+ = (1 - theta) W v_i + theta G_yy(sample i),  i = 1, ..., b
    Q_0 = I,  Q_i = I + (I - v_i+ / L) Q_{i-1},  q+ = Q_b / L

from s = h = u = 0, v_i = mu_g I, q = I/L. theta is the paper's beta, beta its gamma; x moves with the old s, u, q, h, so that
its first step is zero. f_x, f_y, g_y and G_xy share a sample: 1 + b samples, and one message, in an iteration.

Steps of the nonconvex case: alpha = C0 sqrt(n/T), theta = beta = sqrt(n/T), which is {kind = "sqrt-n-over-t", scale = C0} and
{kind = "sqrt-n-over-t"}. Under the PL condition: alpha_k = 2/(mu (C1 + k)), theta_k = beta_k = C1/(C1 + k), which is
{kind = "inverse-time", start = 2/(mu C1), offset = C1} and {kind = "inverse-time", start = 1, offset = C1}. theta is at most 1.

With constant steps x is biased under heterogeneity, the less the smaller theta, alpha and beta are; and by the b + 1 terms of
the series for the inverse, relatively (1 - mu_g/L)^(b + 1) at most. One centre that sees all agents: strategy `centralized`,
where s+ is the average over all agents of (1 - theta) s + theta f_x, and so on. The averages s, h, u, v mix over the topology of y.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Memories, Method, averaging
from .matrices import assure_room, columns, eye, rows, times
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Step, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    s: Array
    h: Array
    u: Array
    v: Array
    q: Array
    m: Memories


@dataclass(frozen=True, kw_only=True)
class GossipDsbo(Method):
    """Gossip-DSBO with b samples of the Hessian in an iteration; keeps dense matrices, of at most `max_bytes` on a rank."""

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower"}
    source: ClassVar[str] = "Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870"
    claims: ClassVar[Claims | None] = Claims("BG", "(nK)^-1/2", "log(1/e)/(n e^2)", "(q^2 log(1/e) + pq)/(n e^2)", "n^3/(1-rho)^4", False)
    needs = ("f_x", "f_y", "g_y", "g_xy", "g_yy")

    lower: Strategy = STRATEGIES["dgd"]
    upper: Strategy = STRATEGIES["dgd"]
    b: int = 10
    L: float | None = None
    mu_g: float | None = None
    max_bytes: float = 2.0**30
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    theta: Schedule = Power(0.2)

    def __post_init__(self) -> None:
        averaging(self.theta)

    def floats(self, dims: tuple[int, int]) -> int:
        p, q = dims
        return super().floats(dims) + p + q + p * q + self.b * q**2

    def accept(self, oracle: Oracle, x: Array, y: Array) -> None:
        assure_room(f"gossip-dsbo with b = {self.b}", x.size * y.size + (self.b + 1) * y.size**2, oracle, self.max_bytes)

    def start(self, x: Array, y: Array) -> State:
        I = rows(eye(y))
        return State(x, y, 0 * x, 0 * y, np.zeros_like(x, shape=(len(x), x.shape[1] * y.shape[1])), np.tile(self.mu_g * I, self.b),
                     I / self.L, Memories(self.upper.start(x), self.lower.start(y)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, theta = self.alpha(k), self.beta(k), self.theta(k)
        x, y, s, h, u, v, q, m = state
        (n, p), (_, d) = x.shape, y.shape

        o = oracle.draw(k)
        f_x, f_y, g_y, G_xy = o.f_x(x, y), o.f_y(x, y), o.g_y(x, y), rows(columns(o.g_xy, x, y, eye(y)))
        G_yy = np.concatenate([rows(columns(oracle.draw(k, phase=i).g_yy, x, y, eye(y))) for i in range(1, self.b + 1)], axis=1)
        direction = s - times(u.reshape(n, p, d), times(q.reshape(n, d, d), h))
        (x, mx), (y, my), s, h, u, v = W @ (
            self.upper(x, alpha * direction, m.x), self.lower(y, beta * g_y, m.y),
            self.averaged(theta, s, f_x), self.averaged(theta, h, f_y), self.averaged(theta, u, G_xy), self.averaged(theta, v, G_yy))
        return State(x, y, s, h, u, v, rows(self.inverse(v.reshape(n, self.b, d, d))), Memories(mx, my))

    def averaged(self, theta: float, s: Any, new: Any) -> Step:
        """(1 - theta) W s + theta new; where one centre averages all, also what is new."""
        row = STRATEGIES["centralized" if self.lower.name == "centralized" else "dgd"]
        mixed, _ = yield from row((1 - theta) * s, -theta * new, ())
        return mixed

    def inverse(self, v: Any) -> Array:
        """(m, q, q): Q_b / L from v (m, b, q, q)."""
        I = Q = np.diag(np.ones_like(v[0, 0, 0]))
        for i in range(self.b):
            Q = I + Q - v[:, i] @ Q / self.L
        return Q / self.L

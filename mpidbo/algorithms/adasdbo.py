"""AdaSDBO: D-SOBA's directions with step sizes that each agent scales by the norms it has met.

Zhai, Yan, Zhang, NeurIPS 2025, arXiv 2510.24288; *partly reconstructed*. At iterate k and one
sample

    D_x = f_x(x, y) - g_xy(x, y, z),    D_y = g_y(x, y),    D_z = g_yy(x, y, z) - f_y(x, y)

First every level s mixes the square of a scalar, m_s = 1 at the start, and then steps with the new
one:

    m_s^2 <- W(m_s^2 + |D_s|^2)
    y+ = W(y - beta / m_y D_y)
    z+ = P(W(z - gamma / max(m_y, m_z) D_z))      P: the nearest point of the ball of radius R
    x+ = W(x - alpha / (m_x max(m_y, m_z)) D_x)

No step size depends on the problem, alpha = beta = gamma = 1. Under heterogeneity, and under noise,
no D_s vanishes at any agent: every m_s grows as sqrt(k), the step sizes fall, and with them the
bias of plain gossip; x, whose step size falls as 1/k, is slow.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from .._fields import Positive
from .._linalg import squared_norms
from .._types import Array, Float
from ..network import Levels
from ..problems import Oracle
from .base import Method, project_ball
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class Squares(NamedTuple):
    """The squared scalars m_x^2, m_y^2, m_z^2."""

    x: Float[Array, "m 1"]
    y: Float[Array, "m 1"]
    z: Float[Array, "m 1"]


class State(NamedTuple):
    """Variables and memories after an iteration; one row for each agent of the rank."""

    x: Float[Array, "m p"]
    y: Float[Array, "m q"]
    z: Float[Array, "m q"]
    m: Squares


@dataclass(frozen=True, kw_only=True)
class AdaSdbo(Method):
    """AdaSDBO: adaptive step sizes, plain gossip, z in the ball of radius `R`.

    Parameters
    ----------
    R : float, default 1000.0
        The radius of the ball, above the norm of z*.
    """

    source: ClassVar[str] = (
        "Zhai, Yan, Zhang, NeurIPS 2025, arXiv 2510.24288 (partly reconstructed)"
    )
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    R: Positive = 1000.0
    alpha: Schedule = Power(1.0)
    beta: Schedule = Power(1.0)
    gamma: Schedule = Power(1.0)

    def curvatures(self, L: float) -> dict[str, float]:
        return {}  # each agent scales its own steps

    def floats(self, dims: tuple[int, int]) -> int:
        return super().floats(dims) + len(self.levels)

    def start(self, x: Float[Array, "m p"], y: Float[Array, "m q"]) -> State:
        one = np.ones_like(x[:, :1])
        return State(x, y, 0 * y, Squares(one, one, one))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        x, y, z, m = state

        o = oracle.draw(k)
        D_x = o.f_x(x, y) - o.g_xy(x, y, z)
        D_y = o.g_y(x, y)
        D_z = o.g_yy(x, y, z) - o.f_y(x, y)

        mixed = W @ (
            m.x + squared_norms(D_x),
            m.y + squared_norms(D_y),
            m.z + squared_norms(D_z),
        )
        m = Squares(*mixed)
        m_x, m_y, m_z = np.sqrt(m.x), np.sqrt(m.y), np.sqrt(m.z)
        m_yz = np.maximum(m_y, m_z)
        (x, _), (y, _), (z, _) = W @ (
            self.upper(x, alpha / (m_x * m_yz) * D_x, ()),
            self.lower(y, beta / m_y * D_y, ()),
            self.lower(z, gamma / m_yz * D_z, ()),
        )
        return State(x, y, project_ball(z, self.R), m)

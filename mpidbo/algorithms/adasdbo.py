"""AdaSDBO: D-SOBA's directions with steps that each agent scales by what it has met so far.

Zhai, Yan, Zhang, NeurIPS 2025, arXiv 2510.24288; *partly reconstructed*. At iterate k and one sample

    D_x = f_x(x, y) - g_xy(x, y, z),    D_y = g_y(x, y),    D_z = g_yy(x, y, z) - f_y(x, y)

First every level s mixes the square of a scalar, m_s = 1 at the start, and then steps with the new one:

    m_s^2 <- W(m_s^2 + |D_s|^2)
    y+ = W(y - beta / m_y D_y)
    z+ = P(W(z - gamma / max(m_y, m_z) D_z))                      P: the nearest point of the ball of radius R
    x+ = W(x - alpha / (m_x max(m_y, m_z)) D_x)

No step needs to know the problem, alpha = beta = gamma = 1. Under heterogeneity, and under noise, no D_s vanishes at any
agent: every m_s grows as sqrt(k), the steps fall, and with them the bias of plain gossip; x, whose step falls as 1/k, is slow.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Memories, Method, ball, squares
from .schedules import Power, Schedule
from .sldbo import State
from .strategies import STRATEGIES, Strategy


@dataclass(frozen=True, kw_only=True)
class AdaSdbo(Method):
    """AdaSDBO: adaptive steps, plain gossip, z in the ball of radius `R`."""

    source: ClassVar[str] = "Zhai, Yan, Zhang, NeurIPS 2025, arXiv 2510.24288 (partly reconstructed)"
    needs = ("g_y", "g_yy", "f_y", "f_x", "g_xy")

    lower: Strategy = STRATEGIES["sgd"]
    upper: Strategy = STRATEGIES["sgd"]
    R: float = 1000.0
    alpha: Schedule = Power(1.0)
    beta: Schedule = Power(1.0)
    gamma: Schedule = Power(1.0)

    def floats(self, dims: tuple[int, int]) -> int:
        return super().floats(dims) + len(self.levels)

    def start(self, x: Array, y: Array) -> State:
        one = np.ones_like(x[:, :1])
        return State(x, y, 0 * y, Memories(one, one, one))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        alpha, beta, gamma = self.alpha(k), self.beta(k), self.gamma(k)
        x, y, z, m = state

        o = oracle.draw(k)
        D_x = o.f_x(x, y) - o.g_xy(x, y, z)
        D_y = o.g_y(x, y)
        D_z = o.g_yy(x, y, z) - o.f_y(x, y)

        m = Memories(*W @ (m.x + squares(D_x), m.y + squares(D_y), m.z + squares(D_z)))
        m_x, m_y, m_z = np.sqrt(m.x), np.sqrt(m.y), np.sqrt(m.z)
        m_yz = np.maximum(m_y, m_z)
        (x, _), (y, _), (z, _) = W @ (
            self.upper(x, alpha / (m_x * m_yz) * D_x, ()), self.lower(y, beta / m_y * D_y, ()), self.lower(z, gamma / m_yz * D_z, ()))
        return State(x, y, ball(z, self.R), m)

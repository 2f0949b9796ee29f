"""SUN-DSBO: a nonconvex lower level, by first-order oracles alone.

Ma, Wang, Yao, Zhang, arXiv 2601.22682; the directions are *reconstructed* from its centralized ancestor MEHA
(Liu et al., ICML 2024). With the Moreau envelope V(x, y) = min_t g(x, t) + |t - y|^2 / (2 lam) of the network's g, the penalty
function mu f + g - V is a minimum over (x, y) and a maximum over t:

    D_x = mu f_x(x, y) + g_x(x, y) - g_x(x, t)               x+ = U-step(x, alpha D_x)
    D_y = mu f_y(x, y) + g_y(x, y) - (y - t) / lam           y+ = L-step(y, beta D_y)
    D_t = g_y(x, t) + (t - y) / lam                          t+ = L-step(t, gamma D_t)

from t0 = y0; all three at iterate k (`jacobi`), or in MEHA's order (`gauss-seidel`): t+ from (x, y, t), x+ from
(x, y, t+), y+ from (x+, y, t+), a sample for each. SUN-DSBO-SE is strategy `sgd`, SUN-DSBO-GT is `semi-gt`; any other may
stand there. lam must be below 1 / (weak convexity of g). The bias of x is linear in mu; since D_x ~ mu grad Phi, x wants a
step of order 1/mu. mu may decrease, as 1/(c (k+1)^0.49) in MEHA. Keep gamma >= beta: on a mode of curvature a
the pair (y, t) diverges when (beta - gamma) / lam > (beta + gamma) a.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from ..network.gossip import Levels
from ..problems.oracle import Oracle
from .base import Array, Claims, Memories, Method
from .schedules import Power, Schedule
from .strategies import STRATEGIES, Strategy


class State(NamedTuple):
    x: Array
    y: Array
    t: Array
    m: Memories


@dataclass(frozen=True, kw_only=True)
class SunDsbo(Method):
    """SUN-DSBO with the penalty weight `mu` (a schedule) and the envelope's `lam`."""

    levels: ClassVar[dict[str, str]] = {"x": "upper", "y": "lower", "t": "lower"}
    source: ClassVar[str] = "Ma, Wang, Yao, Zhang, arXiv 2601.22682 (directions reconstructed from MEHA, ICML 2024)"
    claims: ClassVar[Claims] = Claims("nonconvex lower level; no bounded gradient, no dissimilarity", "(nK)^-1/2", "-", "-", "-", True)
    needs = ("f_x", "f_y", "g_x", "g_y")

    lower: Strategy = STRATEGIES["semi-gt"]
    upper: Strategy = STRATEGIES["semi-gt"]
    schedule: Literal["jacobi", "gauss-seidel"] = "jacobi"
    mu: Schedule = Power(0.1)
    lam: float = 1.0
    alpha: Schedule = Power(0.01)
    beta: Schedule = Power(0.1)
    gamma: Schedule = Power(0.1)

    def start(self, x: Array, y: Array) -> State:
        return State(x, y, y, Memories(self.upper.start(x), self.lower.start(y), self.lower.start(y)))

    def step(self, k: int, oracle: Oracle, W: Levels, state: State) -> State:
        return (self.gauss_seidel if self.schedule == "gauss-seidel" else self.jacobi)(k, oracle, W, *state)

    def D_x(self, o: Oracle, mu: float, x: Any, y: Any, t: Any) -> Array:
        return mu * o.f_x(x, y) + o.g_x(x, y) - o.g_x(x, t)

    def D_y(self, o: Oracle, mu: float, x: Any, y: Any, t: Any) -> Array:
        return mu * o.f_y(x, y) + o.g_y(x, y) - (y - t) / self.lam

    def D_t(self, o: Oracle, x: Any, y: Any, t: Any) -> Array:
        return o.g_y(x, t) + (t - y) / self.lam

    def jacobi(self, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, t: Any, m: Memories) -> State:
        alpha, beta, gamma, mu = self.alpha(k), self.beta(k), self.gamma(k), self.mu(k)

        o = oracle.draw(k)
        D_x, D_y, D_t = self.D_x(o, mu, x, y, t), self.D_y(o, mu, x, y, t), self.D_t(o, x, y, t)
        (x, mx), (y, my), (t, mt) = W @ (
            self.upper(x, alpha * D_x, m.x), self.lower(y, beta * D_y, m.y), self.lower(t, gamma * D_t, m.z))
        return State(x, y, t, Memories(mx, my, mt))

    def gauss_seidel(self, k: int, oracle: Oracle, W: Levels, x: Any, y: Any, t: Any, m: Memories) -> State:
        alpha, beta, gamma, mu = self.alpha(k), self.beta(k), self.gamma(k), self.mu(k)

        o = oracle.draw(k, phase=0)
        t, mt = W.z @ self.lower(t, gamma * self.D_t(o, x, y, t), m.z)
        o = oracle.draw(k, phase=1)
        x, mx = W.x @ self.upper(x, alpha * self.D_x(o, mu, x, y, t), m.x)
        o = oracle.draw(k, phase=2)
        y, my = W.y @ self.lower(y, beta * self.D_y(o, mu, x, y, t), m.y)
        return State(x, y, t, Memories(mx, my, mt))

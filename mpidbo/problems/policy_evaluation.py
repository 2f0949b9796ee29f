"""Policy evaluation with linear value functions, in the two published forms, with a closed-form solution."""

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .base import Problem


class _Bellman(Problem):
    """g_i = |y - (B x + c)|^2 with B (q, p) and c (q,) from agent i's Bellman operator; q is the number of states."""

    infinite: ClassVar[tuple[str, ...]] = ()

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64,
                 states: int = 100, p: int = 10, discount: float = 0.9, heterogeneity: float = 1.0, batch: int = 1,
                 lam: float = 0.0) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if not 0 <= discount < 1:
            raise UserError(f"problem.discount: {discount} is not a discount factor; choose one in [0, 1)")
        if not 0 < p <= states:
            raise UserError(f"problem.p: {p} features must lie between 1 and states = {states}; take fewer, or more states")
        if batch < 0:
            raise UserError(f"problem.batch: {batch} transitions cannot be drawn; 0 is the full batch")
        self.dims, self.dtype, self.discount, self.batch, self.lam = (p, states), dtype, discount, batch, lam
        self.heterogeneity = heterogeneity
        common = np.random.default_rng([seed, 0])
        features, transition, rewards = (common.uniform(size=(states, d)) for d in (p, states, states))
        transition /= transition.sum(axis=1, keepdims=True)
        # Cumulated and shifted by s, the laws of all next states are one sorted array: one search serves every state.
        self._cumulated = (transition.cumsum(axis=1) + np.arange(states)[:, None]).ravel()
        self._expected_rewards, self._successors = (transition * rewards).sum(axis=1), transition @ features
        self._host_features, mine = features, self._own(agent)
        self.features, self.rewards = (
            xp.asarray(part, dtype=dtype) for part in (features, rewards + mine[:, None]))
        self._full = self._bellman(*(xp.asarray(part, dtype=dtype) for part in (
            self._expected_rewards + mine, self._successors)))

    def _own(self, agent: int) -> np.ndarray:
        """What an agent's reward in every state is above the common one, (q,)."""
        rng = np.random.default_rng([self.seed, 1, agent])
        return self.heterogeneity * rng.standard_normal(self.dims[1])

    def _bellman(self, rewards: Any, successors: Any) -> tuple[Any, Any]:
        """(B, c), given every state's reward (q,) and features of the next state (q, p)."""
        raise AssertionError("each published form has its own")

    def draw(self, rng: np.random.Generator) -> Any:
        """(B, c) with `batch` transitions from every state in place of the expectation, or None."""
        if self.batch == 0:
            return None
        q = self.dims[1]
        s = np.arange(q)
        drawn = np.searchsorted(self._cumulated, rng.random((self.batch, q)) + s, side="right") - q * s
        after = self.xp.asarray(np.minimum(drawn, q - 1))
        rewards = self.rewards[self.xp.asarray(s), after]
        return self._bellman(rewards.mean(axis=0), self.features[after].mean(axis=0))

    def _residual(self, x: Any, y: Any, sample: Any) -> Any:
        B, c = sample or self._full
        return y - (B @ x + c)

    def g(self, x: Any, y: Any, sample: Any) -> float:
        e = self._residual(x, y, sample)
        return float(e @ e)

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.g_xy(x, y, self._residual(x, y, sample), sample)

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        return 2 * self._residual(x, y, sample)

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return 2 * v

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        return -2 * ((sample or self._full)[0].T @ v)

    @cached_property
    def _network(self) -> tuple[np.ndarray, np.ndarray]:
        """Psi = Phi - discount P Phi (q, p) and rbar (q,)."""
        own = sum(map(self._own, range(self.n_agents)), np.zeros(self.dims[1])) / self.n_agents
        return self._host_features - self.discount * self._successors, self._expected_rewards + own

    def solution(self) -> Any:
        (p, q), (Psi, r) = self.dims, self._network
        return self.xp.asarray(np.linalg.solve(Psi.T @ Psi / q + self.lam * np.eye(p), Psi.T @ r / q), dtype=self.dtype)

    def metrics(self, x: Any, y: Any) -> dict[str, float]:
        """bellman_error: |Psi x - rbar| / sqrt(q), the root mean square Bellman residual at the average reward."""
        Psi, r = self._device_network
        return {"bellman_error": float(self.xp.linalg.norm(Psi @ x - r)) / self.dims[1]**0.5}

    @cached_property
    def _device_network(self) -> tuple[Any, ...]:
        return tuple(self.xp.asarray(part, dtype=self.dtype) for part in self._network)


class PolicyEvaluation(_Bellman):
    """f_i = 1/(2q) sum_s (phi_s'x - y_s)^2 + lam/2 |x|^2,  g_i = sum_s (y_s - E[r_i(s,s') + discount phi_s''x | s])^2.

    SPARKLE's form (Zhu et al., NeurIPS 2024, arXiv 2411.14166): y holds the values of the q states, p features each.
    With Psi = Phi - discount P Phi and rbar_s = mean_i E[r_i(s,s') | s],

        x* = (Psi'Psi/q + lam I)^-1 Psi'rbar/q,   y*(x) = rbar + discount P Phi x.

    Features and the common rewards R(s,s') are uniform on [0, 1]; the rows of P, common too, are uniform and
    normalised; r_i(s,s') = R(s,s') + h e_i(s) with e_i standard normal. A draw takes next states from P, independently
    for every state, and averages over them inside the square. It is unbiased for f_x, f_y, g_y, g_yy and g_xy. On
    average g gains the variance of the target, a function of x alone, and g_x its gradient: y* and the differences
    g_x(x, y) - g_x(x, t), all that any method uses of g_x, are as they should be.

    Options
    -------
    states : q, the dimension of y.
    p : features, the dimension of x, p <= states (UserError).
    discount : the discount factor, in [0, 1) (UserError).
    heterogeneity : h, the size of what differs between agents' rewards.
    batch : transitions from every state in a draw; 0 is the full batch, and less is refused (UserError).
    lam : weight of |x|^2/2 in f; 0 by default.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 1.0, "beta": 0.2, "gamma": 0.2}

    def _bellman(self, rewards: Any, successors: Any) -> tuple[Any, Any]:
        return self.discount * successors, rewards

    def _gap(self, x: Any, y: Any) -> Any:
        return (self.features @ x - y) / self.dims[1]

    def f(self, x: Any, y: Any, sample: Any) -> float:
        e = self._gap(x, y)
        return 0.5 * (self.dims[1] * float(e @ e) + self.lam * float(x @ x))

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.features.T @ self._gap(x, y) + self.lam * x

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return -self._gap(x, y)


class ResidualPolicyEvaluation(_Bellman):
    """f_i = 1/(2q) |y|^2 + lam/2 |x|^2,  g_i = sum_s (y_s - phi_s'x + E[r_i(s,s') + discount phi_s''x | s])^2.

    Gossip-DSBO's form (Yang, Zhang, Wang, NeurIPS 2022, arXiv 2206.10870): y holds the Bellman residuals. x* is that of
    `PolicyEvaluation`, with y*(x) = Psi x - rbar. Data, draws and options are those of `PolicyEvaluation` but for the
    default lam = 1.
    """

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64,
                 states: int = 100, p: int = 10, discount: float = 0.9, heterogeneity: float = 1.0, batch: int = 1,
                 lam: float = 1.0) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype, states=states, p=p, discount=discount,
                         heterogeneity=heterogeneity, batch=batch, lam=lam)

    def _bellman(self, rewards: Any, successors: Any) -> tuple[Any, Any]:
        return self.features - self.discount * successors, -rewards

    def f(self, x: Any, y: Any, sample: Any) -> float:
        return 0.5 * (float(y @ y) / self.dims[1] + self.lam * float(x @ x))

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        return self.lam * x

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        return y / self.dims[1]

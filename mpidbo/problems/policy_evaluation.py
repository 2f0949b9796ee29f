"""Policy evaluation with linear value functions, in the two published forms."""

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._linalg import batched_matvec
from .._types import Array, Float
from ..errors import UserError
from .draws import PerDraw, drawn
from .stackable import Stackable, stack


class Chain(NamedTuple):
    """The Markov chain that all agents share, q states with p features each.

    Parameters
    ----------
    features : array of shape (q, p)
    rewards : array of shape (q, q)
        The common reward of each transition.
    cumulated : array of shape (q * q,)
        The distributions of the next state, cumulated and shifted by s: a sorted array, so that one
        search serves every state.
    expected_rewards : array of shape (q,)
    successors : array of shape (q, p)
        The expected features of the next state.
    """

    features: Float[np.ndarray, "q p"]
    rewards: Float[np.ndarray, "q q"]
    cumulated: Float[np.ndarray, " qq"]
    expected_rewards: Float[np.ndarray, " q"]
    successors: Float[np.ndarray, "q p"]


@lru_cache(maxsize=2)
def _chain(seed: int, states: int, p: int) -> Chain:
    """Draw the chain; once for all agents of a process."""
    common = np.random.default_rng([seed, 0])
    features, transition, rewards = (common.uniform(size=(states, d)) for d in (p, states, states))
    transition /= transition.sum(axis=1, keepdims=True)
    cumulated = (transition.cumsum(axis=1) + np.arange(states)[:, None]).ravel()
    expected = (transition * rewards).sum(axis=1)
    return Chain(features, rewards, cumulated, expected, transition @ features)


def _own_rewards(seed: int, states: int, agent: int) -> Float[np.ndarray, " q"]:
    """What the agent's reward in every state is above the common one, for heterogeneity 1."""
    return np.random.default_rng([seed, 1, agent]).standard_normal(states)


@lru_cache(maxsize=2)
def _sum_of_own_rewards(
    n: int, seed: int, states: int, heterogeneity: float
) -> Float[np.ndarray, " q"]:
    """Add the agents' own rewards in their order; once for all agents of a process."""
    own = (heterogeneity * _own_rewards(seed, states, agent) for agent in range(n))
    return sum(own, np.zeros(states))


class BellmanProblem(Stackable):
    """The common part of both forms: g_i = |y - (B x + c)|^2, by agent i's Bellman operator.

    Parameters
    ----------
    states, p, discount, heterogeneity, batch, lam
        As for `PolicyEvaluation`.
    """

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        states: int = 100,
        p: int = 10,
        discount: float = 0.9,
        heterogeneity: float = 1.0,
        batch: int = 1,
        lam: float = 0.0,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        if not 0 <= discount < 1:
            raise UserError(
                f"problem.discount: {discount} is not a discount factor; choose one in [0, 1)"
            )
        if not 0 < p <= states:
            raise UserError(
                f"problem.p: {p} features must lie between 1 and states = {states}; take fewer, or "
                "more states"
            )
        if batch < 0:
            raise UserError(
                f"problem.batch: {batch} transitions cannot be drawn; 0 is the full batch"
            )
        self.dims, self.dtype = (p, states), dtype
        self.discount, self.batch, self.lam = discount, batch, lam
        self.heterogeneity = heterogeneity
        self.chain = chain = _chain(seed, states, p)
        mine = heterogeneity * _own_rewards(seed, states, agent)
        self.features = xp.asarray(chain.features, dtype=dtype)
        self.rewards = xp.asarray(chain.rewards + mine[:, None], dtype=dtype)
        self._full = self._bellman(
            xp.asarray(chain.expected_rewards + mine, dtype=dtype),
            xp.asarray(chain.successors, dtype=dtype),
        )

    @abstractmethod
    def _bellman(
        self, rewards: Float[Array, "*m q"], successors: Float[Array, "*m q p"]
    ) -> tuple[Float[Array, "*m q p"], Float[Array, "*m q"]]:
        """Return (B, c), given the reward and the features of the next state of every state."""

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        B, c = sample or self._full
        e = y - (B @ x + c)
        return float(e @ e)

    @cached_property
    def _network(self) -> tuple[np.ndarray, np.ndarray]:
        """Psi = Phi - discount P Phi (q, p) and rbar (q,)."""
        chain, n = self.chain, self.n_agents
        own = _sum_of_own_rewards(n, self.seed, self.dims[1], self.heterogeneity)
        return chain.features - self.discount * chain.successors, chain.expected_rewards + own / n

    def solution(self) -> Float[Array, " p"]:
        (p, q), (Psi, r) = self.dims, self._network
        x = np.linalg.solve(Psi.T @ Psi / q + self.lam * np.eye(p), Psi.T @ r / q)
        return self.xp.asarray(x, dtype=self.dtype)

    def metrics(self, x: Float[Array, " p"], y: Float[Array, " q"]) -> dict[str, float]:
        """bellman_error: |Psi x - rbar| / sqrt(q).

        The root mean square Bellman residual at the average reward.
        """
        Psi, r = self._device_network
        return {"bellman_error": float(self.xp.linalg.norm(Psi @ x - r)) / self.dims[1] ** 0.5}

    @cached_property
    def _device_network(self) -> tuple[Any, ...]:
        return tuple(self.xp.asarray(part, dtype=self.dtype) for part in self._network)


class PolicyEvaluation(BellmanProblem):
    """Policy evaluation in SPARKLE's form, with a closed-form solution.

        f_i = 1/(2q) sum_s (phi_s'x - y_s)^2 + lam/2 |x|^2
        g_i = sum_s (y_s - E[r_i(s,s') + discount phi_s''x | s])^2

    y holds the values of the q states, which have p features each: dims = (p, states).

    Parameters
    ----------
    states : int
        q, the number of states and dimension of y.
    p : int
        Number of features and dimension of x, p <= states.
    discount : float
        Discount factor, in [0, 1).
    heterogeneity : float
        Size h of what differs between agents' rewards.
    batch : int
        Transitions from every state in a draw; 0 is the full batch.
    lam : float
        Weight of |x|^2/2 in f.

    Notes
    -----
    With Psi = Phi - discount P Phi and rbar_s = mean_i E[r_i(s,s') | s],

        x* = (Psi'Psi/q + lam I)^-1 Psi'rbar/q,   y*(x) = rbar + discount P Phi x.

    Features and the common rewards R(s,s') are uniform on [0, 1]; the rows of P, common too, are
    uniform and normalized; r_i(s,s') = R(s,s') + h e_i(s) with e_i standard normal. A draw takes
    next states from P, independently for every state, and averages over them inside the square. It
    is unbiased for f_x, f_y, g_y, g_yy and g_xy. On average g gains the variance of the target, a
    function of x alone, and g_x its gradient: y* and the differences g_x(x, y) - g_x(x, t), all
    that any method uses of g_x, are exact.

    References
    ----------
    Zhu et al., SPARKLE, NeurIPS 2024, arXiv 2411.14166.
    """

    thread_safe: ClassVar[bool] = True

    steps: ClassVar[dict[str, float]] = {"alpha": 1.0, "beta": 0.2, "gamma": 0.2}

    def _bellman(
        self, rewards: Float[Array, "*m q"], successors: Float[Array, "*m q p"]
    ) -> tuple[Float[Array, "*m q p"], Float[Array, "*m q"]]:
        return self.discount * successors, rewards

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        e = (self.features @ x - y) / self.dims[1]
        return 0.5 * (self.dims[1] * float(e @ e) + self.lam * float(x @ x))

    @classmethod
    def stack(cls, agents: "list[PolicyEvaluation]") -> "StackedEvaluations":
        return StackedEvaluations(agents)


class ResidualPolicyEvaluation(BellmanProblem):
    """Policy evaluation in Gossip-DSBO's form, with a closed-form solution.

        f_i = 1/(2q) |y|^2 + lam/2 |x|^2
        g_i = sum_s (y_s - phi_s'x + E[r_i(s,s') + discount phi_s''x | s])^2

    y holds the Bellman residuals of the q states; dims = (p, states).

    Parameters
    ----------
    states, p, discount, heterogeneity, batch, lam
        As for `PolicyEvaluation`.

    Notes
    -----
    x* and the data are those of `PolicyEvaluation`, and y*(x) = Psi x - rbar.

    References
    ----------
    Yang, Zhang, Wang, Decentralized gossip-based stochastic bilevel optimization over communication
    networks, NeurIPS 2022, arXiv 2206.10870.
    """

    thread_safe: ClassVar[bool] = True

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        states: int = 100,
        p: int = 10,
        discount: float = 0.9,
        heterogeneity: float = 1.0,
        batch: int = 1,
        lam: float = 1.0,
    ) -> None:
        super().__init__(
            agent,
            n_agents,
            xp=xp,
            seed=seed,
            dtype=dtype,
            states=states,
            p=p,
            discount=discount,
            heterogeneity=heterogeneity,
            batch=batch,
            lam=lam,
        )

    def _bellman(
        self, rewards: Float[Array, "*m q"], successors: Float[Array, "*m q p"]
    ) -> tuple[Float[Array, "*m q p"], Float[Array, "*m q"]]:
        return self.features - self.discount * successors, -rewards

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        return 0.5 * (float(y @ y) / self.dims[1] + self.lam * float(x @ x))

    @classmethod
    def stack(cls, agents: "list[ResidualPolicyEvaluation]") -> "StackedResiduals":
        return StackedResiduals(agents)


class StackedBellman:
    """The draws and the lower level of several agents.

    A sample is (B, c) with `batch` transitions from every state in place of the expectation.
    """

    def __init__(self, agents: list[Any]) -> None:
        one = agents[0]
        self.xp, self.lam, self.states = one.xp, one.lam, one.dims[1]
        self.features = one.features
        self._batch, self._chain, self._bellman = one.batch, one.chain, one._bellman
        self._rewards = stack(self.xp, agents, "rewards")
        self._full_batch = [None] * len(agents)
        self._full = self._stacked([agent._full for agent in agents])
        self._drawn = PerDraw(self._stacked)

    def draw(self, rngs: Iterable[np.random.Generator]) -> Any:
        """Return (B, c) of each agent; None for each with the full batch."""
        if self._batch == 0:
            return self._full_batch
        m, q = len(self._rewards), self.states
        states = np.arange(q)
        uniform = drawn(rngs, "random", m, self._batch, q)
        following = np.searchsorted(self._chain.cumulated, uniform + states, side="right")
        following -= q * states
        # Rounding may leave the last sum of probabilities below 1.
        following = self.xp.asarray(np.minimum(following, q - 1))
        agents = self.xp.arange(m)[:, None, None]
        rewards = self._rewards[agents, self.xp.asarray(states), following].mean(axis=1)
        return list(
            zip(*self._bellman(rewards, self.features[following].mean(axis=1)), strict=True)
        )

    def _stacked(self, samples: list[Any]) -> tuple[Any, Any]:
        """B (m, q, p) and c (m, q)."""
        B, c = (self.xp.stack(parts) for parts in zip(*samples, strict=True))
        return B, c

    def _of(self, samples: Any) -> tuple[Any, Any]:
        return self._full if samples[0] is None else self._drawn(samples)

    def _residual(self, x: Any, y: Any, samples: Any) -> Any:
        B, c = self._of(samples)
        return y - (batched_matvec(B, x) + c)

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.g_xy(x, y, self._residual(x, y, samples), samples)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return 2 * self._residual(x, y, samples)

    def g_yy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return 2 * v

    def g_xy(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], v: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return -2 * batched_matvec(self._of(samples)[0].swapaxes(1, 2), v)


class StackedEvaluations(StackedBellman):
    """The oracles of several agents of `PolicyEvaluation`."""

    def _gap(self, x: Any, y: Any) -> Any:
        return (batched_matvec(self.features[None], x) - y) / self.states

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return batched_matvec(self.features.T[None], self._gap(x, y)) + self.lam * x

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return -self._gap(x, y)


class StackedResiduals(StackedBellman):
    """The oracles of several agents of `ResidualPolicyEvaluation`."""

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m p"]:
        return self.lam * x

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: Any
    ) -> Float[Array, "m q"]:
        return y / self.states

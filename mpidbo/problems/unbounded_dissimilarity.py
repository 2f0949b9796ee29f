"""A problem whose agents' gradients differ without bound."""

from functools import lru_cache, partial
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .forms import QuadraticForm, QuadraticForms, StackedForms, definite


class UnboundedDissimilarity(QuadraticForms):
    """A problem whose agents' gradients differ without bound, with a closed-form solution.

        f_i = x'A_i x + y'A_i y
        g_i = 1/2 |y - x - b_i|^2

    Parameters
    ----------
    dim : int
        p = q = dim, the dimensions of x and y.
    heterogeneity : float
        Size h of what differs between agents, also between the b_i.
    noise : float
        Standard deviation of the noise that a draw adds to f_x, f_y and g_y; 0: deterministic.

    Notes
    -----
    grad f_i - grad f = 2 (A_i - Abar) (x, y) grows with (x, y): the f_i show that bounded
    gradient dissimilarity, which many analyses assume, fails for the simplest losses. g_i is of
    this package: the simplest that makes the problem well posed, and heterogeneous in the lower
    level too.

    y*(x) = x + bbar, and x* = -bbar/2 whatever the A_i, as long as their average is positive
    definite: A_i = A + h (S_i - Sbar) with eigenvalues of A from 1/4 to 1 and S_i random symmetric,
    so that single f_i are not convex while the average is f of A.
    """

    thread_safe: ClassVar[bool] = True

    steps: ClassVar[dict[str, float]] = {"alpha": 0.05, "beta": 0.2, "gamma": 0.2}

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any = np.float64,
        dim: int = 5,
        heterogeneity: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        if dim < 1:
            raise UserError(
                f"problem.dim: {dim} is not positive; x and y have at least one entry each"
            )
        super().__init__(
            agent,
            n_agents,
            xp=xp,
            seed=seed,
            dtype=dtype,
            form=partial(
                _form, seed, _mean(seed, n_agents, dim), dim=dim, heterogeneity=heterogeneity
            ),
            noise=noise,
        )
        self.numbers = 4 * dim

    @staticmethod
    def shifts(stacked: StackedForms, noise: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """Return the noise; that of k and that of c are both of b_i."""
        p = stacked.own.a.shape[1]
        noise[:, 2 * p : 3 * p] = noise[:, 3 * p :]
        return noise


def _symmetric(seed: int, agent: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """(S_i, the agent's part of b_i)."""
    own = np.random.default_rng([seed, 1, agent])
    free = own.standard_normal((dim, dim))
    return (free + free.T) / np.sqrt(8 * dim), own.standard_normal(dim)


@lru_cache(maxsize=2)
def _mean(seed: int, n: int, dim: int) -> np.ndarray:
    """Sbar, the mean of all agents' symmetric matrices; once for all agents of a process."""
    symmetric = (_symmetric(seed, agent, dim)[0] for agent in range(n))
    return sum(symmetric, np.zeros((dim, dim))) / n


def _form(
    seed: int, mean: np.ndarray, agent: int, *, dim: int, heterogeneity: float
) -> QuadraticForm:
    common = np.random.default_rng([seed, 0])
    S, own = _symmetric(seed, agent, dim)
    A = 2 * (definite(common, dim, 0.25) + heterogeneity * (S - mean))
    b = common.standard_normal(dim) + heterogeneity * own
    zeros, identity = np.zeros(dim), np.eye(dim)
    upper = {"A": A, "B": A, "C": np.zeros((dim, dim)), "a": zeros, "b": zeros, "e": np.zeros(())}
    lower = {"H": identity, "P": identity, "c": b, "K": identity, "k": b, "o": b @ b / 2}
    return QuadraticForm(**upper, **lower)

"""A problem whose agents' gradients differ without bound."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .forms import Form, QuadraticForms, definite


class UnboundedDissimilarity(QuadraticForms):
    """f_i = x'A_i x + y'A_i y,  g_i = 1/2 |y - x - b_i|^2: grad f_i - grad f = 2 (A_i - Abar) (x, y) grows with (x, y).

    The f_i are the example by which one shows that bounded gradient dissimilarity, which many analyses assume, fails for the simplest
    losses; g_i is ours, the simplest that makes the problem well posed and heterogeneous below too. y*(x) = x + bbar, and
    x* = -bbar/2 whatever the A_i, as long as their average is positive definite: A_i = A + h (S_i - Sbar) with eigenvalues of A from
    1/4 to 1 and S_i random symmetric, so that single f_i are not convex while the average is f of A.

    Options
    -------
    dim : p = q = dim.
    heterogeneity : h, the size of what differs between agents, also between the b_i.
    noise : standard deviation of the noise that a draw adds to f_x, f_y and g_y; 0: deterministic.
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 0.05, "beta": 0.2, "gamma": 0.2}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, dim: int = 5,
                 heterogeneity: float = 1.0, noise: float = 0.0) -> None:
        if dim < 1:
            raise UserError(f"problem.dim: {dim} is not positive; x and y have at least one entry each")
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype,
                         form=partial(_form, seed, _mean(seed, n_agents, dim), dim=dim, heterogeneity=heterogeneity))
        self.noise = noise

    def draw(self, rng: np.random.Generator) -> Any:
        if self.noise == 0:
            return None
        shift = self.xp.asarray(self.noise * rng.standard_normal((4, self.dims[0])), dtype=self.dtype)
        shift[2] = shift[3]                     # both are of b_i
        return shift.ravel()


def _symmetric(seed: int, agent: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """(S_i, the agent's part of b_i)."""
    own = np.random.default_rng([seed, 1, agent])
    free = own.standard_normal((dim, dim))
    return (free + free.T) / np.sqrt(8 * dim), own.standard_normal(dim)


def _mean(seed: int, n: int, dim: int) -> np.ndarray:
    """Sbar."""
    return sum((_symmetric(seed, agent, dim)[0] for agent in range(n)), np.zeros((dim, dim))) / n


def _form(seed: int, mean: np.ndarray, agent: int, *, dim: int, heterogeneity: float) -> Form:
    common = np.random.default_rng([seed, 0])
    S, own = _symmetric(seed, agent, dim)
    A = 2 * (definite(common, dim, 0.25) + heterogeneity * (S - mean))
    b = common.standard_normal(dim) + heterogeneity * own
    I, O, o = np.eye(dim), np.zeros((dim, dim)), np.zeros(dim)
    return Form(A=A, B=A, C=O, a=o, b=o, e=np.zeros(()), H=I, P=I, c=b, K=I, k=b, o=b @ b / 2)

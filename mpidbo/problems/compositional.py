"""Compositional problems as a special case of bilevel ones."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .forms import Form, QuadraticForms, definite


class Compositional(QuadraticForms):
    """min_x f(h(x)) with f and h averages over agents, as a bilevel problem: g_i = E|y - h_i(x; xi)|^2, so that y*(x) = h(x).

    Here h_i(x; xi) = D_i x + c_i + xi and f_i = 1/2 |y - b_i|^2_{B_i} + lam/2 |x|^2. With bars for averages over agents,
    x* = (lam I + Dbar'Bbar Dbar)^-1 Dbar' (mean B_i b_i - Bbar cbar). Sizes and the law of the data are ours.

    Options
    -------
    p, q : dimensions of x and of h.
    heterogeneity : the size of what differs between agents (0: all agents are alike).
    noise : standard deviation of xi, and of what a draw adds to f_y; 0: deterministic.
    lam : weight of |x|^2/2 in f, positive (UserError).
    """

    steps: ClassVar[dict[str, float]] = {"alpha": 0.05, "beta": 0.2, "gamma": 0.2}

    def __init__(self, agent: int, n_agents: int, *, xp: Any, seed: int, dtype: Any = np.float64, p: int = 5, q: int = 8,
                 heterogeneity: float = 1.0, noise: float = 0.0, lam: float = 0.1) -> None:
        if min(p, q) < 1:
            raise UserError(f"problem: p = {p} and q = {q} must both be positive; x and y have at least one entry each")
        if lam <= 0:
            raise UserError(f"problem.lam: {lam} may leave the problem without a unique solution; choose a positive number")
        super().__init__(agent, n_agents, xp=xp, seed=seed, dtype=dtype,
                         form=partial(_form, seed, p=p, q=q, heterogeneity=heterogeneity, lam=lam))
        self.noise = noise

    def draw(self, rng: np.random.Generator) -> Any:
        if self.noise == 0:
            return None
        p, q = self.dims
        of_f, xi = (self.xp.asarray(self.noise * rng.standard_normal(q), dtype=self.dtype) for _ in range(2))
        return self.xp.concatenate([self.xp.zeros(p, dtype=self.dtype), of_f, self._one.PT[0] @ xi, 2 * xi])


def _form(seed: int, agent: int, *, p: int, q: int, heterogeneity: float, lam: float) -> Form:
    common, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1, agent])

    def free(*shape: int) -> np.ndarray:
        return (common.standard_normal(shape) + heterogeneity * own.standard_normal(shape)) / np.sqrt(shape[-1])

    D, c, b = free(q, p), free(q), free(q)
    B = definite(common, q, 0.25) + 0.1 * heterogeneity * definite(own, q, 0.25)
    return Form(A=lam * np.eye(p), B=B, C=np.zeros((p, q)), a=np.zeros(p), b=-B @ b, e=b @ B @ b / 2,
                H=2 * np.eye(q), P=2 * D, c=2 * c, K=2 * D.T @ D, k=2 * D.T @ c, o=c @ c)

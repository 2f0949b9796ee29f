"""Compositional problems as a special case of bilevel ones."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from .._linalg import batched_matvec
from .._types import Array, Float
from ..errors import UserError
from .forms import QuadraticForm, QuadraticForms, StackedForms, definite, normal


class Compositional(QuadraticForms):
    """A compositional problem as a special case of a bilevel one, with a closed-form solution.

        f_i = 1/2 |y - b_i|^2_{B_i} + lam/2 |x|^2
        g_i = E |y - h_i(x; xi)|^2,   h_i(x; xi) = D_i x + c_i + xi

    Parameters
    ----------
    p, q : int
        Dimensions of x and of h, y; dims = (p, q).
    heterogeneity : float
        Size of what differs between agents; 0: all agents are alike.
    noise : float
        Standard deviation of xi, and of what a draw adds to f_y; 0: deterministic.
    lam : float
        Weight of |x|^2/2 in f, positive.

    Notes
    -----
    min_x f(h(x)) with f and h averages over agents, so that y*(x) = h(x). With bars for averages,

        x* = (lam I + Dbar'Bbar Dbar)^-1 Dbar'(mean B_i b_i - Bbar cbar).

    Sizes and the distribution of the data are of this package.
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
        p: int = 5,
        q: int = 8,
        heterogeneity: float = 1.0,
        noise: float = 0.0,
        lam: float = 0.1,
    ) -> None:
        if min(p, q) < 1:
            raise UserError(
                f"problem: p = {p} and q = {q} must both be positive; x and y have at least one "
                "entry each"
            )
        if lam <= 0:
            raise UserError(
                f"problem.lam: {lam} may leave the problem without a unique solution; choose a "
                "positive number"
            )
        super().__init__(
            agent,
            n_agents,
            xp=xp,
            seed=seed,
            dtype=dtype,
            form=partial(_form, seed, p=p, q=q, heterogeneity=heterogeneity, lam=lam),
            noise=noise,
        )
        self.numbers = 2 * q

    @staticmethod
    def shifts(stacked: StackedForms, noise: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """Return noise of f_y, and xi as a part of k and c."""
        of_f_x = stacked.xp.zeros_like(stacked.own.a)
        q = stacked.own.b.shape[1]
        of_f, xi = noise[:, :q], noise[:, q:]
        return stacked.xp.concatenate(
            [of_f_x, of_f, batched_matvec(stacked.PT, xi), 2 * xi], axis=1
        )


def _form(
    seed: int, agent: int, *, p: int, q: int, heterogeneity: float, lam: float
) -> QuadraticForm:
    common, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1, agent])
    # The order of the draws is part of the problem.
    D = normal(common, own, heterogeneity, q, p)
    c = normal(common, own, heterogeneity, q)
    b = normal(common, own, heterogeneity, q)
    B = definite(common, q, 0.25) + 0.1 * heterogeneity * definite(own, q, 0.25)
    return QuadraticForm(
        A=lam * np.eye(p),
        B=B,
        C=np.zeros((p, q)),
        a=np.zeros(p),
        b=-B @ b,
        e=b @ B @ b / 2,
        H=2 * np.eye(q),
        P=2 * D,
        c=2 * c,
        K=2 * D.T @ D,
        k=2 * D.T @ c,
        o=c @ c,
    )

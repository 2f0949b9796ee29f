"""Minimax problems as a special case of bilevel ones."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from .._types import Array, Float
from ..errors import UserError
from .forms import QuadraticForm, QuadraticForms, StackedForms, definite, normal


class Minimax(QuadraticForms):
    """A minimax problem as a special case of a bilevel one, with a closed-form solution.

        f_i = 1/2 |x - a_i|^2_{A_i} + x'C_i y - 1/2 |y - b_i|^2_{B_i}
        g_i = -f_i

    Parameters
    ----------
    p, q : int
        Dimensions of x and y; dims = (p, q).
    heterogeneity : float
        Size of what differs between agents; 0: all agents are alike.
    noise : float
        Standard deviation of the noise that a draw adds to f_x and f_y, and subtracts from g_x and
        g_y; 0: deterministic.

    Notes
    -----
    min_x max_y of the mean of f_i. With bars for averages over agents,
    y*(x) = Bbar^-1 (Cbar'x + mean B_i b_i) and

        x* = (Abar + Cbar Bbar^-1 Cbar')^-1 (mean A_i a_i - Cbar Bbar^-1 mean B_i b_i).

    Since f_y = -g_y vanishes at y*(x), so does z*: a method that descends f in x and ascends it in
    y (gradient descent-ascent) has the same solution. The distribution of the data is of this
    package.
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
        q: int = 5,
        heterogeneity: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        if min(p, q) < 1:
            raise UserError(
                f"problem: p = {p} and q = {q} must both be positive; x and y have at least one "
                "entry each"
            )
        super().__init__(
            agent,
            n_agents,
            xp=xp,
            seed=seed,
            dtype=dtype,
            form=partial(_form, seed, p=p, q=q, heterogeneity=heterogeneity),
            noise=noise,
        )
        self.numbers = p + q

    @staticmethod
    def shifts(stacked: StackedForms, noise: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """Return noise of f_i, and that of g_i = -f_i, as a function of y with its sign."""
        p = stacked.own.a.shape[1]
        return stacked.xp.concatenate([noise, -noise[:, :p], noise[:, p:]], axis=1)


def _form(seed: int, agent: int, *, p: int, q: int, heterogeneity: float) -> QuadraticForm:
    common, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1, agent])
    draw = partial(normal, common, own, heterogeneity)

    def curved(d: int) -> np.ndarray:
        return definite(common, d, 0.25) + 0.1 * heterogeneity * definite(own, d, 0.25)

    # The order of the draws is part of the problem.
    A, B = curved(p), curved(q)
    C = 0.5 * draw(p, q)
    a, b = draw(p), draw(q)
    e = (a @ A @ a - b @ B @ b) / 2
    upper = {"A": A, "B": -B, "C": C, "a": -A @ a, "b": B @ b, "e": e}
    lower = {"H": B, "P": C.T, "c": B @ b, "K": -A, "k": A @ a, "o": -e}
    return QuadraticForm(**upper, **lower)

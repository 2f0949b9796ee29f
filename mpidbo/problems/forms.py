"""Problems whose losses are quadratic in (x, y).

Oracles, stacked oracles and the closed-form solution.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._linalg import batched_matvec
from .._types import Array, Float
from .draws import Noisy
from .stackable import Stackable


class QuadraticForm(NamedTuple):
    """The coefficients of one agent's losses.

    f = 1/2 x'A x + x'C y + 1/2 y'B y + a'x + b'y + e
    g = 1/2 y'H y - y'(P x + c) + 1/2 x'K x + k'x + o
    """

    A: Float[Array, "p p"]
    B: Float[Array, "q q"]
    C: Float[Array, "p q"]
    a: Float[Array, " p"]
    b: Float[Array, " q"]
    e: Float[Array, ""]
    H: Float[Array, "q q"]
    P: Float[Array, "q p"]
    c: Float[Array, " q"]
    K: Float[Array, "p p"]
    k: Float[Array, " p"]
    o: Float[Array, ""]


class QuadraticForms(Stackable):
    """A problem whose losses are `form(agent)` on every agent.

    A draw is what it adds to (a, b, k, c), an array of shape (2p + 2q,), or None.

    Parameters
    ----------
    agent, n_agents, xp, seed, dtype
        As for `Problem`.
    form : callable
        agent -> QuadraticForm, of numpy arrays.
    noise : float
        Standard deviation of the numbers from which `shifts` makes draws; 0: no draws.

    Notes
    -----
    With bars for averages over agents, M = Hbar^-1 Pbar and w = Hbar^-1 cbar, y*(x) = M x + w and

        x* = -(Abar + Cbar M + M'Cbar' + M'Bbar M)^-1 (abar + M'bbar + (Cbar + M'Bbar) w).
    """

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        dtype: Any,
        form: Callable[[int], QuadraticForm],
        noise: float,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dtype, self._form, self.noise = dtype, form, noise
        self.own = QuadraticForm(*(xp.asarray(part, dtype=dtype) for part in form(agent)))
        self.dims = self.own.a.size, self.own.b.size

    numbers: int
    """The normal numbers of a draw."""

    @staticmethod
    @abstractmethod
    def shifts(stacked: "StackedForms", noise: Float[Array, "m k"]) -> Float[Array, "m d"]:
        """Return what draws add to (a, b, k, c), given `numbers` numbers for each agent."""

    def _linear_terms(self, sample: Any) -> tuple[Array, Array, Array, Array]:
        """(a, b, k, c) of a sample."""
        own = self.own.a, self.own.b, self.own.k, self.own.c
        if sample is None:
            return own
        p, q = self.dims
        bounds = (0, p, p + q, 2 * p + q)
        a, b, k, c = (
            part + sample[first : first + part.size]
            for part, first in zip(own, bounds, strict=True)
        )
        return a, b, k, c

    def f(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        a, b, _, _ = self._linear_terms(sample)
        own = self.own
        return float(
            x @ (own.A @ x) / 2 + x @ (own.C @ y) + y @ (own.B @ y) / 2 + a @ x + b @ y + own.e
        )

    def g(self, x: Float[Array, " p"], y: Float[Array, " q"], sample: Any) -> float:
        _, _, k, c = self._linear_terms(sample)
        own = self.own
        return float(
            y @ (own.H @ y) / 2 - y @ (own.P @ x + c) + x @ (own.K @ x) / 2 + k @ x + own.o
        )

    @cached_property
    def _solution(self) -> Float[np.ndarray, " p"]:
        sums = [np.zeros(())] * len(QuadraticForm._fields)
        for agent in range(self.n_agents):
            sums = [total + part for total, part in zip(sums, self._form(agent), strict=True)]
        mean = QuadraticForm(*(total / self.n_agents for total in sums))
        M, w = np.linalg.solve(mean.H, mean.P), np.linalg.solve(mean.H, mean.c)
        CM = mean.C @ M
        return -np.linalg.solve(
            mean.A + CM + CM.T + M.T @ mean.B @ M,
            mean.a + M.T @ mean.b + (mean.C + M.T @ mean.B) @ w,
        )

    def solution(self) -> Float[Array, " p"]:
        return self.xp.asarray(self._solution, dtype=self.dtype)

    @classmethod
    def stack(cls, agents: "list[QuadraticForms]") -> "StackedForms":
        return StackedForms(agents)


class StackedForms(Noisy):
    """The oracles of several agents, row by row."""

    def __init__(self, agents: list[QuadraticForms]) -> None:
        super().__init__(agents, agents[0].numbers)
        xp, self._shifts = self.xp, agents[0].shifts
        own = zip(*(agent.own for agent in agents), strict=True)
        self.own = QuadraticForm(*(xp.stack(parts) for parts in own))
        self.CT = xp.ascontiguousarray(self.own.C.swapaxes(1, 2))
        self.PT = xp.ascontiguousarray(self.own.P.swapaxes(1, 2))
        p, q = agents[0].dims
        # where a, b, k and c are in a draw
        self.of_a, self.of_b = slice(p), slice(p, p + q)
        self.of_k, self.of_c = slice(p + q, 2 * p + q), slice(2 * p + q, None)

    def draw(self, rngs: Iterable[np.random.Generator]) -> Any:
        drawn = super().draw(rngs)
        return drawn if drawn[0] is None else self._shifts(self, drawn)

    def f_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        u = batched_matvec(self.own.A, x) + batched_matvec(self.own.C, y) + self.own.a
        return self.add_noise(u, samples, self.of_a)

    def f_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        u = batched_matvec(self.CT, x) + batched_matvec(self.own.B, y) + self.own.b
        return self.add_noise(u, samples, self.of_b)

    def g_x(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m p"]:
        u = batched_matvec(self.own.K, x) - batched_matvec(self.PT, y) + self.own.k
        return self.add_noise(u, samples, self.of_k)

    def g_y(
        self, x: Float[Array, "m p"], y: Float[Array, "m q"], samples: list[Any]
    ) -> Float[Array, "m q"]:
        target = batched_matvec(self.own.P, x) + self.own.c
        return batched_matvec(self.own.H, y) - self.add_noise(target, samples, self.of_c)

    def g_yy(
        self,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        v: Float[Array, "m q"],
        samples: list[Any],
    ) -> Float[Array, "m q"]:
        return batched_matvec(self.own.H, v)

    def g_xy(
        self,
        x: Float[Array, "m p"],
        y: Float[Array, "m q"],
        v: Float[Array, "m q"],
        samples: list[Any],
    ) -> Float[Array, "m p"]:
        return -batched_matvec(self.PT, v)


def definite(rng: np.random.Generator, d: int, min_eigenvalue: float) -> Float[np.ndarray, "d d"]:
    """Return a random symmetric matrix with eigenvalues from `min_eigenvalue` to 1."""
    basis = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (basis * np.geomspace(min_eigenvalue, 1, d)) @ basis.T


def normal(
    common: np.random.Generator, own: np.random.Generator, heterogeneity: float, *shape: int
) -> Float[np.ndarray, "*shape"]:
    """Return a random array of a shared and an own part, scaled by 1/sqrt(columns)."""
    both = common.standard_normal(shape) + heterogeneity * own.standard_normal(shape)
    return both / np.sqrt(shape[-1])

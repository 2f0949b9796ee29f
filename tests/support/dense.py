"""The dense primal-dual form of the strategies, mixing matrices to try them on, and a problem
that is not quadratic.

Everything here is written from the equations and shares no code with the package.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from mpidbo.problems import Problem

POWERS = {
    "ed": (1, 1),
    "extra": (0, 1),
    "gt": (2, 2),
    "semi-gt": (1, 2),
    "non-gt": (0, 2),
    "sgd": (1, 1),
    "dgd": (0, 1),
    "centralized": (1, 1),
    "push-pull": (1, 2),
    "ab": (0, 2),
    "push-sum": (1, 1),
}
"""(a, c) of A = W^a and C = W^c; of the last three where their A and B are a W."""
COMPRESSED = {"choco": (1, 1), "beer": (0, 2), "lead": (1, 1)}
"""The same of compressed rows where C is the identity; lead's W is (I+W)/2."""
CORRECTED = ("ed", "extra", "gt", "semi-gt", "non-gt", "push-pull", "ab", "beer", "lead")
ALIKE = ("gt", "semi-gt", "non-gt", "push-pull", "ab")
"""Rows that need all agents to start at the same point."""


def root(S: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(S)
    assert values.min() > -1e-12
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


class PrimalDual:
    """s+ = C s - A u - B d, d+ = d + B s+, d0 = 0: one level, all agents, dense matrices."""

    def __init__(self, row: str, W: np.ndarray) -> None:
        n = len(W)
        W = np.full((n, n), 1 / n) if row == "centralized" else W
        W = (np.eye(n) + W) / 2 if row == "lead" else W
        a, c = {**POWERS, **COMPRESSED}[row]
        self.A, self.C = np.linalg.matrix_power(W, a), np.linalg.matrix_power(W, c)
        if row not in CORRECTED:
            self.B = np.zeros((n, n))
        elif (W == W.T).all():
            self.B = root(np.eye(n) + self.C - 2 * W)
        else:  # the directed graphs, on which only these rows run
            assert c == 2
            self.B = np.eye(n) - W
        self.d = np.zeros((n, 1))

    def __call__(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        new = self.C @ s - self.A @ u - self.B @ self.d
        self.d = self.d + self.B @ new
        return new


class CompressedLevel:
    """choco, beer or lead of one level, all agents, dense matrices; `part` numbers the messages
    of an iteration."""

    def __init__(self, name, W, s0, C, g, a):
        self.step, self.W, self.C, self.g, self.a = getattr(self, name), W, C, g, a
        zero = 0 * s0
        self.H = self.HW = zero if name == "choco" else s0
        self.G = self.GW = self.h = self.u = self.d = zero

    def sent(self, v, k, part):
        return np.array([self.C(row, i, k, part) for i, row in enumerate(v)])

    def choco(self, k, s, u):
        v = s - u
        q = self.sent(v - self.H, k, 0)
        self.H, self.HW = self.H + q, self.HW + self.W @ q
        return v + self.g * (self.HW - self.H)

    def beer(self, k, s, u):
        self.h, self.u = self.h + self.g * (self.GW - self.G) + u - self.u, u
        s = s + self.g * (self.HW - self.H) - self.h
        q, p = self.sent(s - self.H, k, 0), self.sent(self.h - self.G, k, 1)
        self.H, self.HW = self.H + q, self.HW + self.W @ q
        self.G, self.GW = self.G + p, self.GW + self.W @ p
        return s

    def lead(self, k, s, u):
        y = s - u - self.d
        q = self.sent(y - self.H, k, 0)
        yh, yw = self.H + q, self.HW + self.W @ q
        self.d = self.d + self.g / 2 * (yh - yw)
        self.H, self.HW = self.H + self.a * q, self.HW + self.a * self.W @ q
        return s - u - self.d


def mixing_matrix(n: int, seed: int = 0) -> np.ndarray:
    """A full symmetric doubly stochastic matrix with eigenvalues of both signs, above -1/3: a
    mean of permutations."""
    rng = np.random.default_rng([seed, n])
    W = 0.36 * np.eye(n)
    for weight in rng.dirichlet(np.ones(3)):
        P = np.eye(n)[rng.permutation(n)]
        W += 0.64 * weight * (P + P.T) / 2
    W = (W + W.T) / 2
    return W if np.linalg.matrix_rank(np.eye(n) - W) == n - 1 else mixing_matrix(n, seed + 1)


def deviation(found: Any, expected: Any) -> float:
    """The largest difference of two sequences of arrays, relative to the largest entry so far."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    k = len(found)
    size = np.maximum.accumulate(np.abs(expected).reshape(k, -1).max(axis=1))
    return float((np.abs(found - expected).reshape(k, -1).max(axis=1) / size.clip(1e-300)).max())


class Rows:
    """The oracles of a team of agents, one row each, at samples drawn anew from the agents'
    streams."""

    def __init__(self, team: list[Any], seed: int = 0) -> None:
        self.team, self.seed = team, seed
        self.samples: list[Any] = [None] * len(team)
        self.drawn: dict[tuple[int, int], list[Any]] = {}

    def draw(self, k: int, phase: int = 0) -> None:
        if (k, phase) not in self.drawn:
            self.drawn[k, phase] = self._draw(k, phase)
        self.samples = self.drawn[k, phase]

    def _draw(self, k: int, phase: int) -> list[Any]:
        return [
            agent.draw(
                np.random.Generator(
                    np.random.Philox(
                        key=np.array([self.seed, i], np.uint64),
                        counter=np.array([0, 0, phase, k], np.uint64),
                    )
                )
            )
            for i, agent in enumerate(self.team)
        ]

    def __getattr__(self, name: str) -> Callable[..., np.ndarray]:
        def rows(*points: np.ndarray) -> np.ndarray:
            return np.stack(
                [
                    getattr(agent, name)(*(point[i] for point in points), self.samples[i])
                    for i, agent in enumerate(self.team)
                ]
            )

        return rows


class Twisted(Problem):
    """No oracle is linear and each depends on all its arguments, noise enters them unlike one
    another.

    f = |x - a|^2/2 + |y - b|^2/2 + sum sin(E x + y)/4,  g = y'Hy/2 - y'(P x + c) - sum sin(D x +
    y)/8, where a sample multiplies the sines and shifts a, b, c.
    """

    def __init__(
        self,
        agent: int,
        n_agents: int,
        *,
        xp: Any,
        seed: int,
        p: int = 3,
        q: int = 4,
        noise: float = 0.0,
    ) -> None:
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dims, self.noise = (p, q), noise
        rng = np.random.default_rng([seed, agent])
        skew = rng.standard_normal((q, q)) / q
        self.H = np.eye(q) / 2 + skew @ skew.T
        self.P, self.D, self.E = rng.standard_normal((3, q, p)) / np.sqrt(p) / 2
        self.exact = (1.0, 1.0, *(rng.standard_normal(d) for d in (p, q, q)))

    def draw(self, rng: np.random.Generator) -> Any:
        """The factors of the sines, and a, b, c."""
        if self.noise == 0:
            return None
        shifts = self.noise * rng.standard_normal(2 + self.dims[0] + 2 * self.dims[1])
        ends = (0, 1, 2, 2 + self.dims[0], 2 + sum(self.dims), len(shifts))
        return tuple(
            [
                part + (shifts[i] if i < 2 else shifts[i:j])
                for part, i, j in zip(self.exact, ends, ends[1:], strict=False)
            ]
        )

    def f(self, x: Any, y: Any, sample: Any) -> float:
        e, _, a, b, _ = sample or self.exact
        return float(
            ((x - a) ** 2).sum() / 2
            + ((y - b) ** 2).sum() / 2
            + e * np.sin(self.E @ x + y).sum() / 4
        )

    def g(self, x: Any, y: Any, sample: Any) -> float:
        _, e, _, _, c = sample or self.exact
        return float(
            y @ (self.H @ y) / 2 - y @ (self.P @ x + c) - e * np.sin(self.D @ x + y).sum() / 8
        )

    def f_x(self, x: Any, y: Any, sample: Any) -> Any:
        e, _, a, _, _ = sample or self.exact
        return x - a + e * self.E.T @ np.cos(self.E @ x + y) / 4

    def f_y(self, x: Any, y: Any, sample: Any) -> Any:
        e, _, _, b, _ = sample or self.exact
        return y - b + e * np.cos(self.E @ x + y) / 4

    def g_x(self, x: Any, y: Any, sample: Any) -> Any:
        _, e, _, _, _ = sample or self.exact
        return -self.P.T @ y - e * self.D.T @ np.cos(self.D @ x + y) / 8

    def g_y(self, x: Any, y: Any, sample: Any) -> Any:
        _, e, _, _, c = sample or self.exact
        return self.H @ y - self.P @ x - c - e * np.cos(self.D @ x + y) / 8

    def g_yy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        _, e, _, _, _ = sample or self.exact
        return self.H @ v + e * np.sin(self.D @ x + y) * v / 8

    def g_xy(self, x: Any, y: Any, v: Any, sample: Any) -> Any:
        _, e, _, _, _ = sample or self.exact
        return -self.P.T @ v + e * self.D.T @ (np.sin(self.D @ x + y) * v) / 8

    def start(self) -> tuple[Any, Any]:
        p, q = self.dims
        return np.linspace(-1, 1, p), np.linspace(1, -1, q)

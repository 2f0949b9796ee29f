"""Runs of the quadratic problem, and its averages and solutions in closed form."""

import numpy as np

import mpidbo
from mpidbo.problems.quadratic import Quadratic

N = 5
QUADRATIC = {"name": "quadratic", "p": 3, "q": 4, "condition": 2.0, "heterogeneity": 0.5}
STEPS = {"alpha": 0.03, "beta": 0.4, "gamma": 0.4, "theta": 1.0}


def solve(method, iterations, problem=QUADRATIC, n=N, topology="ring", steps=STEPS, **run):
    return mpidbo.solve(
        problem, method, topology, n, steps, iterations, evaluate_every=max(1, iterations), **run
    )


class Exact:
    """The averages of the quadratic problem, and what follows from them."""

    def __init__(self, **options):
        team = [
            Quadratic(
                i,
                N,
                xp=np,
                seed=0,
                **{key: QUADRATIC[key] for key in ("p", "q", "condition", "heterogeneity")}
                | options,
            )
            for i in range(N)
        ]
        self.A, self.B, self.H, self.P = (
            sum(getattr(agent, name) for agent in team) / N for name in "ABHP"
        )
        self.Aa, self.Bb = (
            sum(getattr(agent, M) @ getattr(agent, v) for agent in team) / N
            for M, v in ("Aa", "Bb")
        )
        self.c = sum(agent.c for agent in team) / N
        self.team = team

    def y(self, x):
        return np.linalg.solve(self.H, self.P @ x + self.c)

    def gradient(self, x):
        """grad Phi."""
        z = np.linalg.solve(self.H, self.B @ self.y(x) - self.Bb)
        return self.A @ x - self.Aa + self.P.T @ z

    def solution(self):
        """x*, where the gradient, which is affine, vanishes."""
        slope = (
            np.stack([self.gradient(e) for e in np.eye(3)], axis=1)
            - self.gradient(np.zeros(3))[:, None]
        )
        return np.linalg.solve(slope, -self.gradient(np.zeros(3)))

    def penalty(self, mu, lam):
        """(x, y, t) where the three directions of SUN-DSBO vanish, a linear system."""
        p, I = 3, np.eye(4) / lam
        K = np.block(
            [
                [mu * self.A, -self.P.T, self.P.T],
                [-self.P, mu * self.B + self.H - I, I],
                [-self.P, -I, self.H + I],
            ]
        )
        point = np.linalg.solve(K, np.concatenate([mu * self.Aa, mu * self.Bb + self.c, self.c]))
        return np.split(point, [p, p + 4])

    def g(self, x, y):
        return y @ (self.H @ y / 2 - self.P @ x - self.c)

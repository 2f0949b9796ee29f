"""A problem of your own: how strongly to penalize each coefficient of a ridge regression.

    mpiexec -n 3 mpidbo run examples/own_problem/my_problem.toml
    mpidbo check examples/own_problem/my_problem.py:Ridge     compares with finite differences

y are the coefficients and exp(x_j) is the penalty of the j-th. Each agent trains on its own data,

    g = 1/2 mean (A y - b)^2 + 1/2 sum_j exp(x_j) y_j^2,

and x is chosen so that y does well on the agents' validation data: f = 1/2 mean (A_v y - b_v)^2.
Only the first half of the coefficients matter, which the agents do not know: the penalties of the
others should grow.
"""

import numpy as np

import mpidbo


class Ridge(mpidbo.Problem):
    """One agent: its data, the two losses and their derivatives.

    Options are the keyword parameters after `seed`.
    """

    def __init__(self, agent, n_agents, *, xp, seed, features=10, samples=30, noise=0.5, batch=10):
        self.dims, self.batch = (features, features), batch
        self.truth = np.where(np.arange(features) < features // 2, 1.0, 0.0)
        # Data depend on (seed, agent) alone, so that the number of ranks does not matter.
        rng = np.random.default_rng([seed, agent])
        scale = rng.uniform(0.5, 1.5, features)  # what differs between agents
        self.A, self.A_v = scale * rng.standard_normal((2, samples, features))
        self.b, self.b_v = (
            A @ self.truth + noise * rng.standard_normal(samples) for A in (self.A, self.A_v)
        )

    def draw(self, rng):
        """A mini-batch: (rows of A, rows of A_v)."""
        return rng.choice(len(self.b), (2, self.batch))

    def train(self, sample):
        if sample is None:
            return self.A, self.b
        return self.A[sample[0]], self.b[sample[0]]

    def valid(self, sample):
        if sample is None:
            return self.A_v, self.b_v
        return self.A_v[sample[1]], self.b_v[sample[1]]

    def f(self, x, y, sample):
        A, b = self.valid(sample)
        return 0.5 * float(np.mean((A @ y - b) ** 2))

    def g(self, x, y, sample):
        A, b = self.train(sample)
        return 0.5 * float(np.mean((A @ y - b) ** 2) + np.exp(x) @ y**2)

    def f_x(self, x, y, sample):
        return np.zeros_like(x)

    def f_y(self, x, y, sample):
        A, b = self.valid(sample)
        return A.T @ (A @ y - b) / len(b)

    def g_x(self, x, y, sample):
        return 0.5 * np.exp(x) * y**2

    def g_y(self, x, y, sample):
        A, b = self.train(sample)
        return A.T @ (A @ y - b) / len(b) + np.exp(x) * y

    def g_yy(self, x, y, v, sample):  # the Hessian of g in y, times v
        A, b = self.train(sample)
        return A.T @ (A @ v) / len(b) + np.exp(x) * v

    def g_xy(self, x, y, v, sample):  # the derivative in x of <g_y, v>
        return np.exp(x) * y * v

    def start(self):
        return np.full(self.dims[0], -2.0), np.zeros(self.dims[1])

    def metrics(self, x, y):
        half = self.dims[0] // 2
        return {
            "error": np.linalg.norm(y - self.truth),
            "log_penalty_useful": x[:half].mean(),
            "log_penalty_useless": x[half:].mean(),
        }

"""Problems whose g has the wrong sign: what a user writes who maximizes by mistake."""

import numpy as np

import mpidbo

OF_G = ("g", "g_x", "g_y", "g_yy", "g_xy")


def negated(problem):
    """A problem with -g in place of g."""

    def turned(name):
        return lambda self, *arguments: -getattr(problem, name)(self, *arguments)

    own = {name: turned(name) for name in OF_G}
    return type(problem.__name__, (problem,), {**own, "stacked": classmethod(lambda *_: None)})


class Ridge(mpidbo.Problem):
    """Ridge regression whose penalty exp(x) is to be chosen; y has three entries."""

    dims = (1, 3)

    def __init__(self, agent, n_agents, *, xp, seed):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        rng = np.random.default_rng(agent)
        self.A, self.b = rng.normal(size=(20, 3)), rng.normal(size=20)

    def f(self, x, y, sample):
        return float(np.mean((self.A @ y - self.b) ** 2)) / 2

    def f_x(self, x, y, sample):
        return np.zeros(1)

    def f_y(self, x, y, sample):
        return self.A.T @ (self.A @ y - self.b) / 20

    def g(self, x, y, sample):
        return self.f(x, y, sample) + float(np.exp(x[0]) * (y @ y)) / 2

    def g_x(self, x, y, sample):
        return np.exp(x) * (y @ y) / 2

    def g_y(self, x, y, sample):
        return self.f_y(x, y, sample) + np.exp(x[0]) * y

    def g_yy(self, x, y, v, sample):
        return self.A.T @ (self.A @ v) / 20 + np.exp(x[0]) * v

    def g_xy(self, x, y, v, sample):
        return np.exp(x) * (y @ v)


class Classifier(Ridge):
    """Logistic regression without a penalty, whose loss has no curvature far away; x shifts y."""

    dims = (3, 3)

    def f_x(self, x, y, sample):
        return np.zeros(3)

    def _shifted(self, x, y):
        """The margins, and how probable the wrong label is."""
        margins = np.sign(self.b) * (self.A @ (y + x))
        return margins, 1 / (1 + np.exp(margins))

    def g(self, x, y, sample):
        return float(np.mean(np.logaddexp(0, -self._shifted(x, y)[0])))

    def g_y(self, x, y, sample):
        return -self.A.T @ (np.sign(self.b) * self._shifted(x, y)[1]) / 20

    def g_yy(self, x, y, v, sample):
        wrong = self._shifted(x, y)[1]
        return self.A.T @ (wrong * (1 - wrong) * (self.A @ v)) / 20

    def g_x(self, x, y, sample):
        return self.g_y(x, y, sample)

    def g_xy(self, x, y, v, sample):
        return self.g_yy(x, y, v, sample)

"""A classifier for the worst of several groups: min over x, max over the weights y of the groups.

    f_i = sum_g y_g (n/N_g) (sum of the losses of own samples of group g)
          + RIDGE/2 |x|^2 - SMOOTHING/2 |y - 1/q|^2,          g_i = -f_i

n is the number of agents and N_g the number of all samples of group g, so that the average of f_i
has the mean loss of each group. y stays in the simplex by `project_y`, and methods that
differentiate y*(x) are refused: gradient descent-ascent does not (docs/methods.md, gda).

    mpidbo check examples/group_weights/group_weights.py:GroupWeights
    mpidbo run examples/group_weights/group_weights.toml

Sagawa et al., Distributionally robust neural networks for group shifts, ICLR 2020, without the
smoothing, which makes y* unique.
"""

import numpy as np

import mpidbo
from mpidbo.problems.projections import simplex

RIDGE, SMOOTHING = 0.01, 0.1


class GroupWeights(mpidbo.Problem):
    """Logistic regression; agents have different shares of the groups, and later ones are rarer."""

    def __init__(self, agent, n_agents, *, xp, seed, features=10, groups=4, samples=100):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        self.dims = features, groups
        # A function of the seed: every agent knows how large the groups are in the network.
        all_groups = [groups_of(seed, other, groups, samples) for other in range(n_agents)]
        sizes = np.bincount(np.concatenate(all_groups), minlength=groups)
        own = all_groups[agent]
        self.a, self.b = labelled(seed, agent, own, features, groups)
        # of a sample in the mean loss of each group
        self.weights = np.eye(groups)[own] * n_agents / np.maximum(sizes, 1)

    def start(self):
        p, q = self.dims
        return np.zeros(p), np.full(q, 1 / q)

    def project_y(self, y):
        return simplex(y)

    def margins(self, x):
        return self.b * (self.a @ x)

    def losses(self, x):
        """The mean loss of each group, as far as this agent contributes to it."""
        return np.logaddexp(0, -self.margins(x)) @ self.weights

    def slope(self, x, y):
        """The gradient in x of <y, losses(x)>."""
        return -(self.weights @ y * self.b / (1 + np.exp(self.margins(x)))) @ self.a

    def f(self, x, y, sample):
        away = y - 1 / len(y)
        return float(y @ self.losses(x) + RIDGE / 2 * x @ x - SMOOTHING / 2 * away @ away)

    def f_x(self, x, y, sample):
        return self.slope(x, y) + RIDGE * x

    def f_y(self, x, y, sample):
        return self.losses(x) - SMOOTHING * (y - 1 / len(y))

    def g(self, x, y, sample):
        return -self.f(x, y, sample)

    def g_x(self, x, y, sample):
        return -self.f_x(x, y, sample)

    def g_y(self, x, y, sample):
        return -self.f_y(x, y, sample)

    def metrics(self, x, y):
        right = (self.margins(x) > 0) @ self.weights
        return {f"accuracy_group_{group}": share for group, share in enumerate(right)}


def groups_of(seed, agent, groups, samples):
    """The groups of an agent's samples."""
    rng = np.random.default_rng([seed, 1, agent])
    shares = 0.5 ** np.arange(groups)
    return rng.choice(groups, samples, p=rng.dirichlet(groups * shares / shares.sum()))


def labelled(seed, agent, own, features, groups):
    """Inputs and labels; those of later groups have more noise."""
    common, rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 2, agent])
    directions = common.standard_normal(features) + 0.3 * common.standard_normal((groups, features))
    inputs = rng.standard_normal((len(own), features))
    scores = (inputs * directions[own]).sum(axis=1) + own * rng.standard_normal(len(own))
    return inputs, np.where(scores > 0, 1.0, -1.0)

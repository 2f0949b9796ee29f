"""A problem whose x and y have a form of their own, and trees to the bit."""

import numpy as np

import mpidbo


class Nested(mpidbo.Problem):
    """f_i = |x - y|^2/2 + <c_i, y>, g_i = |y - x|^2/2: x and y in R^6, agents differ in c_i."""

    dims = (6, 6)

    def __init__(self, agent, n_agents, *, xp, seed):
        self.c = np.random.default_rng([seed, agent]).standard_normal(6)

    def x_tree(self, x):
        return {"layers": [{"w/eight": x[:4].reshape(2, 2)}, {}], 3: x[4], "3": (x[5:],)}

    def y_tree(self, y):
        return y.reshape(2, 3)

    def f(self, x, y, sample):
        return float((x - y) @ (x - y) / 2 + self.c @ y)

    def g(self, x, y, sample):
        return float((y - x) @ (y - x) / 2)

    def f_x(self, x, y, sample):
        return x - y

    def f_y(self, x, y, sample):
        return y - x + self.c

    def g_x(self, x, y, sample):
        return x - y

    def g_y(self, x, y, sample):
        return y - x

    def g_yy(self, x, y, v, sample):
        return 1 * v

    def g_xy(self, x, y, v, sample):
        return -v


def same(a, b):
    """Whether two trees are the same: types, keys in order, and arrays to the bit."""
    assert type(a) is type(b), (type(a), type(b))
    if isinstance(a, dict):
        assert [*a] == [*b] and [*map(type, a)] == [*map(type, b)]
        return all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a is None or (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())

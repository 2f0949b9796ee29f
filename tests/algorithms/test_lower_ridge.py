"""`[method] lower_ridge`: every method as on a problem whose g has the ridge, and convex lower
levels."""

import numpy as np
import pytest

import mpidbo
from mpidbo import config
from mpidbo.algorithms import METHODS
from mpidbo.errors import UserError
from mpidbo.problems import Problem
from mpidbo.problems.quadratic import Quadratic
from support.dense import PrimalDual
from support.runs import QUADRATIC as TABLES
from support.runs import run, same, toml
from support.trials import RANDOM, TWISTED, Trial

R = 0.4
OPTIONS = {"p": 3, "q": 4, "condition": 2.0, "heterogeneity": 0.5, "noise": 0.2}
WITH_G = [name for name in METHODS if name not in ("single-level", "gda", "dm-hsgd", "dsgd")]


class WithRidge(Quadratic):
    """g + R |y|^2 / 2, agent by agent."""

    def g(self, x, y, sample):
        return super().g(x, y, sample) + R * float(y @ y) / 2

    def g_y(self, x, y, sample):
        return super().g_y(x, y, sample) + R * y

    def g_yy(self, x, y, v, sample):
        return super().g_yy(x, y, v, sample) + R * v

    @classmethod
    def stacked(cls, agents):
        return None


@pytest.mark.parametrize(
    "table",
    [
        *({"name": name} for name in WITH_G),
        {"name": "d-soba", "variant": "first-order", "delta": 0.1},
        {"name": "sparkle", "schedule": "jacobi"},
        {"name": "lopa-gt"},
    ],
    ids=lambda table: "-".join(table.values() if "delta" not in table else ["first-order"]),
)
def test_every_method_is_as_on_the_problem_with_the_ridge(table):
    """The same samples; where L is needed it is given, since estimates differ by rounding."""
    rule = METHODS[config.split_name(table["name"])[0]][0]
    constants = {key: value for key, value in (("L", 4.0), ("mu_g", 0.1)) if hasattr(rule, key)}
    table = {**table, **constants}
    run = {"agents": 3, "iterations": 12, "evaluate_every": 12, "seed": 5}
    found = mpidbo.solve({"name": Quadratic, **OPTIONS}, {**table, "lower_ridge": R}, **run)
    expected = mpidbo.solve({"name": WithRidge, **OPTIONS}, table, **run)
    without = mpidbo.solve({"name": Quadratic, **OPTIONS}, table, **run)
    for name in "xyzt":
        rows = getattr(expected, name)
        if rows is not None:
            np.testing.assert_allclose(getattr(found, name), rows, rtol=1e-10, atol=1e-12)
    assert np.abs(found.y - without.y).max() > 1e-4
    # losses are those of g itself
    agents = [Quadratic(i, 3, xp=np, seed=5, **OPTIONS) for i in range(3)]
    if not rule.personalized:
        x, y = found.x.mean(axis=0), found.y.mean(axis=0)
        g = np.mean([agent.g(x, y, None) for agent in agents])
        assert found.history["lower_loss"][-1] == pytest.approx(g, rel=1e-12)


def test_a_ridge_that_falls(tmp_path):
    """SPARKLE with g_y + r_k y and g_yy z + r_k z, iterate by iterate."""
    ridge = {"kind": "inverse-time", "start": 0.9, "offset": 15}
    trial = Trial(TWISTED, {"name": "sparkle-ed-gt", "lower_ridge": ridge}, 5, RANDOM, tmp_path)

    def lines(on=True):
        o, x, y = trial.o, trial.x, trial.y
        z, r = 0 * y, 0 * x
        X, Y, Z = PrimalDual("gt", trial.upper), *(PrimalDual("ed", trial.lower) for _ in "yz")
        for k, s in enumerate(trial.steps):
            weight = 0.9 / (1 + k / 15) if on else 0.0
            o.draw(k, phase=0)
            y = Y(y, s.beta * (o.g_y(x, y) + weight * y))
            o.draw(k, phase=1)
            z = Z(z, s.gamma * (o.g_yy(x, y, z) + weight * z - o.f_y(x, y)))
            o.draw(k, phase=2)
            r = (1 - s.theta) * r + s.theta * (o.f_x(x, y) - o.g_xy(x, y, z))
            x = X(x, s.alpha * r)
            yield x, y, z

    assert trial.deviation(lines()) < 1e-10
    assert trial.deviation(lines(on=False)) > 1e-3


N, P, Q = 5, 3, 6


class Convex(Problem):
    """A lower level that is merely convex, as the mean and at each agent.

    f_i = |x - a_i|^2/2 + x'C y + |y|^2/2 and g_i = |E y - D x - c_i|^2/2 with E of rank 3: y is
    minimal on a subspace of dimension 3, whose point of the least norm is E^+ (D x + c).
    """

    dims = (P, Q)

    def __init__(self, agent, n_agents, *, xp, seed):
        super().__init__(agent, n_agents, xp=xp, seed=seed)
        common, own = np.random.default_rng(7), np.random.default_rng([7, agent])
        self.E, self.D = common.standard_normal((3, Q)) / 2, common.standard_normal((3, P)) / 2
        self.C = common.standard_normal((P, Q)) / 4
        self.a, self.c = own.standard_normal(P), own.standard_normal(3)

    def start(self):
        return np.zeros(P), np.ones(Q)

    def residual(self, x, y):
        return self.E @ y - self.D @ x - self.c

    def f(self, x, y, sample):
        return float((x - self.a) @ (x - self.a) / 2 + x @ self.C @ y + y @ y / 2)

    def f_x(self, x, y, sample):
        return x - self.a + self.C @ y

    def f_y(self, x, y, sample):
        return self.C.T @ x + y

    def g(self, x, y, sample):
        return float(self.residual(x, y) @ self.residual(x, y)) / 2

    def g_x(self, x, y, sample):
        return -self.D.T @ self.residual(x, y)

    def g_y(self, x, y, sample):
        return self.E.T @ self.residual(x, y)

    def g_yy(self, x, y, v, sample):
        return self.E.T @ (self.E @ v)

    def g_xy(self, x, y, v, sample):
        return -self.D.T @ (self.E @ v)


def solution(ridge):
    """(x*, y*) with y*(x) = (E'E + ridge I)^-1 E'(D x + c); of the least norm for ridge = 0."""
    team = [Convex(i, N, xp=np, seed=0) for i in range(N)]
    E, D, C = team[0].E, team[0].D, team[0].C
    a, c = (np.mean([getattr(agent, name) for agent in team], axis=0) for name in "ac")
    inverse = np.linalg.solve(E.T @ E + ridge * np.eye(Q), E.T) if ridge else np.linalg.pinv(E)
    M, w = inverse @ D, inverse @ c
    # Phi(x) = |x - a|^2/2 + x'C(M x + w) + |M x + w|^2/2
    x = np.linalg.solve(np.eye(P) + C @ M + M.T @ C.T + M.T @ M, a - C @ w - M.T @ w)
    return x, M @ x + w


STEPS = {"alpha": 0.05, "beta": 0.3, "gamma": 0.3}


@pytest.mark.parametrize("name", ["sparkle-ed", "sparkle-gt", "soba", "d-soba-ed", "sldbo"])
def test_a_constant_ridge_has_its_own_solution(name):
    steps = STEPS if name == "sldbo" else {**STEPS, "theta": 1.0}
    table = {"name": name, "lower_ridge": 0.3}
    result = mpidbo.solve(
        Convex, table, "ring", N, steps, 3000, evaluate_every=3000, checks="never"
    )
    x, y = solution(0.3)
    assert np.abs(result.x - x).max() < 1e-9 and np.abs(result.y - y).max() < 1e-9


def test_a_falling_ridge_goes_to_the_solution_of_least_norm():
    """Without a ridge y keeps what its start has along the flat directions of g."""
    ridge = {"kind": "staircase", "start": 0.5, "factor": 0.7, "every": 200}
    steps = {**STEPS, "theta": 1.0}
    run = {"agents": N, "evaluate_every": 10_000, "checks": "never"}
    x, y = solution(0)
    errors = []
    for iterations in (1200, 2400):
        table = {"name": "sparkle-ed", "lower_ridge": ridge}
        result = mpidbo.solve(Convex, table, "ring", steps=steps, iterations=iterations, **run)
        errors.append(np.abs(result.x - x).max())
        followed = solution(0.5 * 0.7 ** ((iterations - 1) // 200))
        assert np.abs(result.x - followed[0]).max() < 0.1 * errors[-1]
        assert np.abs(result.y - followed[1]).max() < 0.1 * np.abs(result.y - y).max()
    assert 0.5 > errors[0] > 4 * errors[1]
    biases = [np.abs(solution(r)[0] - x).max() for r in (1e-3, 1e-4)]
    assert biases[0] / biases[1] == pytest.approx(10, rel=0.1)
    plain = mpidbo.solve(Convex, "f2sa", "ring", steps={**STEPS}, iterations=10, **run)
    E = Convex(0, 1, xp=np, seed=0).E
    flat = np.linalg.svd(E)[2][3:]
    assert np.abs(flat @ plain.t.mean(axis=0) - flat @ np.ones(Q)).max() < 1e-12


def test_a_run_with_a_ridge_is_resumed_to_the_bit(tmp_path):
    ridge = {"kind": "inverse-sqrt", "start": 0.5}
    path = toml(tmp_path, {**TABLES, "method.name": "sparkle-ed-gt", "method.lower_ridge": ridge})
    run(path, tmp_path / "whole")
    run(path, tmp_path / "parts", run__iterations=11)
    run(path, tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_it_is_a_key_only_where_it_is_set():
    def table(**more):
        method = {"name": "d-soba", **more}
        return config.check({"problem": {"name": "quadratic"}, "method": method})

    assert "lower_ridge" not in table().method
    assert table(lower_ridge=0.5).method["lower_ridge"] == 0.5
    falling = {"kind": "inverse-time", "start": 1}
    assert table(lower_ridge=falling).method["lower_ridge"] == falling


def test_an_estimated_L_covers_the_ridge():
    """L is 1.1 times the largest curvature, with that of the ridge at its largest."""
    ridge = {"kind": "inverse-time", "start": 2.0}
    Ls = [
        mpidbo.solve("quadratic", {"name": "mdbo", **more}, agents=3, iterations=1).config.method[
            "L"
        ]
        for more in ({}, {"lower_ridge": ridge})
    ]
    assert Ls[1] == pytest.approx(Ls[0] + 1.1 * 2.0)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("gda", "method.lower_ridge: has no effect, since gda does not use g; leave it out"),
        ("dm-hsgd", "method.lower_ridge: has no effect, since dm-hsgd does not use g"),
        ("single-level", "method.lower_ridge: has no effect, since single-level does not use g"),
        ("dsgd", "method.lower_ridge: dsgd takes g_yy = 2I for granted"),
    ],
)
def test_methods_without_it(method, message):
    with pytest.raises(UserError, match=message):
        mpidbo.solve("quadratic", {"name": method, "lower_ridge": 0.1}, agents=2, iterations=1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "method.lower_ridge: -1 is out of range; give at least 0"),
        ("small", "method.lower_ridge: .* is not a finite number"),
        ({"kind": "inverse-tme", "start": 1}, "method.lower_ridge.kind: .* did you mean"),
        (
            {"kind": "power", "start": 1, "exponent": 0.5},
            "method.lower_ridge: grows without a bound",
        ),
    ],
    ids=str,
)
def test_values(value, message):
    with pytest.raises(UserError, match=message):
        mpidbo.solve("quadratic", {"name": "sparkle", "lower_ridge": value}, agents=2, iterations=1)
